"""The comparison accepts correct books and detects every way of falsifying them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.soak.books import Rows, compare
from tests.soak.ledger import Ledger, Submission, Upload, wrong_end
from tests.soak.pictures import FAILING, right_class

NUMBER = 4321


class Books:
    """One picture with a webhook, one upload of two files (one broken) with a webhook, one request cut off."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        single = Submission(mark="t-single", number=NUMBER, webhook=True)
        self.ledger.asked(single)
        self.ledger.accepted(single, {"id": "p1", "status": "starting"})
        self.single = single
        upload = Upload(mark="t-upload", numbers={"a.png": 7, "b.png": None}, webhook=True)
        self.ledger.asked_many(upload)
        self.ledger.accepted_many(upload, "b1")
        self.upload = upload
        self.ledger.cut_off("t-never")
        failed = {"output": None, "error_code": "undecodable_image"}
        self.rows: Rows = {
            "p1": row("p1", NUMBER, metadata={"mark": "t-single"}),
            "p2": row("p2", 7, batch_id="b1", custom_id="a.png"),
            "p3": row("p3", 0, batch_id="b1", custom_id="b.png", status="failed") | failed,
        }
        counts = {"total": 2, "succeeded": 1, "failed": 1, "canceled": 0}
        self.batches: Rows = {"b1": {"id": "b1", "status": "completed", "request_counts": counts}}
        self.ledger.labelled([("p1", "cat"), ("p1", "owl")])
        self.feedback = [("p1", "cat"), ("p1", "owl")]
        self.told: Rows = {
            "w1": {"id": "p1", "status": "succeeded", "metadata": {"mark": "t-single"}},
            "w2": {"id": "b1", "status": "completed", "metadata": {"mark": "t-upload"}},
        }

    def compare(self) -> list[str]:
        found = compare(self.ledger, rows=self.rows, batches=self.batches, told=self.told, feedback=self.feedback)
        return self.ledger.violations + found


def row(id: str, number: int, **facts: Any) -> dict[str, Any]:
    output = {"predicted_index": right_class(number, "2")}
    made = {"id": id, "status": "succeeded", "version": "2", "output": output, "error": None, "error_code": None}
    return made | {"attempts": 1, "metadata": {}, "batch_id": None, "custom_id": None} | facts


def test_correct_books_agree() -> None:
    assert Books().compare() == []


def piped(*said: tuple[str, int | None], degraded: bool, chain: bool) -> dict[str, Any]:
    """Return the output of a pipeline whose versions said these numbers' classes, or nothing."""
    answers = [None if number is None else {"predicted_index": right_class(number, one)} for one, number in said]
    last = next(one for one in reversed(answers) if one)
    if chain:
        second = {"models": [{"version": said[1][0]}]} if answers[1] else {"error": "x", "error_code": "model_error"}
        first = {"output": answers[0]} if answers[1] else {}
        steps = [first, {"results": [second]}]
    else:
        named = zip(said, answers, strict=True)
        steps = [{"models": [{"version": one, **({"output": it} if it else {})} for (one, _), it in named]}]
    return {**last, "pipeline": {"steps": steps, "degraded": degraded}}


@pytest.mark.parametrize("chain", [False, True])
def test_a_pipeline_degrades_for_the_numbers_that_its_second_model_does_not_take(*, chain: bool) -> None:
    taken, raised = NUMBER, NUMBER - NUMBER % FAILING

    def wrong(number: int, on_error: str, output: Any, **facts: Any) -> bool:
        body = {"id": "p", "status": "succeeded", "version": "x", "output": output} | facts
        return bool(wrong_end(number, body, on_error=on_error))

    whole = piped(("1", taken), ("3", taken), degraded=False, chain=chain)
    part = piped(("1", raised), ("3", None), degraded=True, chain=chain)
    failed = {"status": "failed", "error_code": "model_error"}
    assert not wrong(taken, "degrade", whole)
    assert not wrong(taken, "fail", whole)
    assert not wrong(raised, "degrade", part)
    assert not wrong(raised, "fail", None, **failed)
    assert wrong(raised, "fail", part)
    assert wrong(raised, "degrade", None, **failed)
    assert wrong(taken, "fail", None, **failed)
    assert wrong(taken, "degrade", piped(("1", taken), ("3", None), degraded=True, chain=chain))
    assert wrong(raised, "degrade", piped(("1", raised), ("3", None), degraded=False, chain=chain))
    assert wrong(taken, "degrade", piped(("1", taken), ("3", taken + 1), degraded=False, chain=chain))
    assert wrong(taken, "", whole)


TRICKS: dict[str, Callable[[Books], Any]] = {
    "a label is lost": lambda b: b.feedback.clear(),
    "a label is doubled": lambda b: b.feedback.append(("p1", "cat")),
    "the label before the last counts": lambda b: b.feedback.reverse(),
    "another label": lambda b: b.feedback.__setitem__(0, ("p1", "dog")),
    "a row is lost": lambda b: b.rows.pop("p1"),
    "a row is doubled under another id": lambda b: b.rows.update(p9=row("p9", NUMBER, metadata={"mark": "t-single"})),
    "a neighbour's answer": lambda b: b.rows.update(p1=row("p1", NUMBER + 1, metadata={"mark": "t-single"})),
    "another version's answer": lambda b: b.rows["p1"].update(version="1"),
    "a failure without a reason": lambda b: b.rows["p1"].update(status="failed", error_code="model_error"),
    "a suspect given up too early": lambda b: b.rows["p1"].update(status="failed", error_code="worker_lost"),
    "nobody canceled it": lambda b: b.rows["p1"].update(status="canceled"),
    "a broken file succeeded": lambda b: b.rows["p3"].update(status="succeeded", output={"predicted_index": 1}),
    "half a request was taken": lambda b: b.rows.update(p9=row("p9", 1, metadata={"mark": "t-never"})),
    "nobody asked for it": lambda b: b.rows.update(p9=row("p9", 1, metadata={"mark": "t-other"})),
    "a file of an upload is lost": lambda b: b.rows.pop("p2"),
    "a file of an upload is doubled": lambda b: b.rows.update(p9=row("p9", 7, batch_id="b1", custom_id="a.png")),
    "a file of an upload has another's answer": lambda b: b.rows["p2"].update(output={"predicted_index": 8}),
    "an accepted upload was canceled": lambda b: b.batches["b1"].update(status="canceled"),
    "counts are ahead of the rows": lambda b: b.batches["b1"]["request_counts"].update(succeeded=2),
    "a webhook came twice": lambda b: b.told.update(w9=b.told["w1"]),
    "a webhook told another end": lambda b: b.told["w1"].update(status="failed"),
    "a webhook nobody wanted": lambda b: b.told.update(w9={"id": "p7", "status": "succeeded", "metadata": {}}),
    "one key became two predictions": lambda b: b.ledger.accepted(b.single, {"id": "p8", "status": "starting"}),
    "one key became two batches": lambda b: [b.ledger.accepted_many(b.upload, id) for id in ("b2", "b1")],
    "an end changed": lambda b: [
        b.ledger.saw({"id": "p1", "status": status, "version": "2", "output": b.rows["p1"]["output"]})
        for status in ("succeeded", "processing")
    ],
    "people were told another end than was kept": lambda b: b.ledger.saw(
        {"id": "p1", "status": "failed", "error_code": "worker_lost", "attempts": 3}
    ),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_every_falsified_book_is_detected(trick: Callable[[Books], Any]) -> None:
    books = Books()
    trick(books)
    assert books.compare() != []


def test_an_answer_from_before_an_end_may_come_after_it() -> None:
    ledger = Ledger()
    asked = time.monotonic()
    ledger.saw({"id": "p", "status": "canceled"})
    ledger.saw({"id": "p", "status": "processing"}, asked=asked)
    assert ledger.violations == []
    ledger.saw({"id": "p", "status": "processing"}, asked=time.monotonic())
    assert ledger.violations == ["p had ended as canceled and is processing"]
