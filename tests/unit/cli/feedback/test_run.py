"""A file of feedback is sent in parts of whole lines, and refused lines are shown with their number in the file."""

import csv
import io
from pathlib import Path

import pytest

from cli.client import Client, Declined
from cli.feedback import run
from cli.feedback.run import NoCsv, Total, parts
from cli.terminal.refused import Refused


def test_parts_have_the_header_and_every_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LINES_AT_ONCE", 3)
    rows = [["id", "label"], *([str(number), f'a "{number}"\nb'] for number in range(8))]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    found = [list(csv.reader(io.StringIO(part.content.decode(), newline=""))) for part in parts(text.getvalue())]
    assert [one[0] for one in found] == [rows[0]] * 3
    assert [row for one in found for row in one[1:]] == rows[1:]


def test_a_refused_line_is_named_as_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LINES_AT_ONCE", 2)
    text = 'id;label\n1;"a\nb"\n\n2;c\n3;d\n'
    first, second = parts(text)
    total = Total()
    for part, line in ((first, 4), (second, 2)):
        error = {"line": line, "prediction": "x", "detail": "no"}
        total.add(
            part, {"created": 1, "unchanged": 0, "empty": 0, "refused": 1, "errors": [error], "unknown_labels": []}
        )
    assert [one["line"] for one in total.errors] == [5, 6]
    assert (total.created, total.refused) == (2, 2)


def test_a_file_that_is_only_a_header_is_sent_too() -> None:
    [part] = parts("id,label\n")
    assert part.content == b"id,label\n"


def test_a_file_that_is_no_csv_is_refused() -> None:
    with pytest.raises(NoCsv, match="Line 2 is no CSV"):
        list(parts('id,label\n"' + "x" * 200_000))


@pytest.mark.parametrize("batch", ["", "../x", "a/b", "\udcff", "01a21a07-d269-78f9-bd2f"])
def test_a_batch_is_named_by_its_id(tmp_path: Path, batch: str) -> None:
    with pytest.raises(Refused, match="is no batch's id"):
        run.feedback(tmp_path, tmp_path / "labels.csv", batch=batch)


def test_a_gateway_that_does_not_answer_or_take_it_ends_it_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n", encoding="utf-8")
    monkeypatch.setenv("DARKROOM_URL", "http://127.0.0.1:1")
    with pytest.raises(
        Refused, match=r"Not all was sent: Nothing answers.* No line is known to be used.* sends the rest"
    ):
        run.feedback(tmp_path, labels, batch=None)


@pytest.mark.parametrize(
    ("status", "may_pass"), [(422, False), (404, False), (413, False), (401, False), (429, True), (503, True)]
)
def test_what_is_refused_for_good_is_not_to_be_sent_again_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, *, may_pass: bool
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("id,lable\n", encoding="utf-8")

    def ask(*_: object, **__: object) -> None:
        raise Declined("its first line names no column label", status)

    monkeypatch.setattr(Client, "ask", ask)
    monkeypatch.setenv("DARKROOM_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused) as refused:
        run.feedback(tmp_path, labels, batch=None)
    said = str(refused.value)
    assert ("The same command sends the rest" in said, "Correct it and send it again" in said) == (
        may_pass,
        not may_pass,
    )
    assert bool(list((tmp_path / "feedback").iterdir())) is may_pass, "what is continued"
