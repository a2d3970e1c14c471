"""Feedback over HTTP: one answer, a CSV of many, its refusals, on a real Redis and Postgres.

Over 300 lines: the tables of bodies and of CSV lines that are refused.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
import redis
from sqlalchemy import Engine, event, text

from api.feedback import giving
from shared.domain.identifiers import ModelName, Owner, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.model_route import Route, Version
from shared.storage.feedback import list_feedback
from shared.storage.recording import record
from shared.storage.shadow_predictions import ShadowPrediction, store_shadow_predictions

Serve = Callable[..., Any]
HOOK = "https://a.example/x"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DIGITS = Route(
    model=ModelName("digits"),
    description="",
    aliases={"champion": VersionNumber("3")},
    versions={
        VersionNumber("3"): Version(
            number=VersionNumber("3"), key=VersionKey("3-m-1"), created_at="", labels=("1", "7")
        )
    },
)
CLASS = {"predicted_class": "7", "predicted_index": 1, "confidence": 0.9, "probabilities": {"7": 0.9}}
OUTPUTS: dict[str, Any] = {
    "class": CLASS,
    "multi": {"predicted_classes": ["a"], "scores": {"a": 0.9, "b": 0.1}},
    "number": {"values": {"age": 3.5}},
    "numbers": {"values": {"age": 3.5, "height": 1.8}},
    "boxes": {"detections": []},
    "vector": {"dimensions": 1, "embedding": [0.5]},
    "json": {"text": "hello"},
}


@pytest.fixture
def add(engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]) -> Callable[..., PredictionId]:
    """Record a prediction with this output; return its id."""

    def add(output: Any = CLASS, *, owner: str = "default", **changes: Any) -> PredictionId:
        id = PredictionId(new_uuid7())
        request = {"model": "digits", "version": "3", **changes.pop("request", {})}
        with engine.connect() as connection:
            one = finished_record(id=id, owner=owner, request=request, **changes)
            record(connection, [{**one, b"output": orjson.dumps(output)}])
        return id

    return add


def post(serve: Serve, engine: Engine, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    async def claim(client: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        if isinstance(body, bytes):
            headers.setdefault("Content-Type", "text/csv")
        answer = await client.post(path, headers={k.replace("_", "-"): v for k, v in headers.items()}, **given)
        return answer.status_code, answer.json()

    found: tuple[int, dict[str, Any]] = serve(claim, engine=engine, routes=[DIGITS])
    return found


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM feedback")).scalar_one())


def test_a_prediction_is_read_with_its_feedback_and_its_shadows_by_its_owner_alone(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    own, others = add(), add(owner="other")
    with engine.connect() as connection:
        for id, owner in ((own, "default"), (others, "other")):
            shadow = ShadowPrediction(
                prediction_id=id, version="4", version_key="4-b", status="succeeded",
                output=CLASS, agrees=True, predict_ms=2.0, created_at=datetime.now(UTC),
            )  # fmt: skip
            store_shadow_predictions(connection, [shadow])
            for label in "17":
                row = {"id": id, "owner": owner, "label": label}
                connection.execute(
                    text("INSERT INTO feedback (prediction_id, owner, label) VALUES (:id, :owner, :label)"), row
                )
            connection.commit()

    async def claim(client: httpx.AsyncClient) -> Any:
        answers = [
            [await client.get(f"/v1/predictions/{id}", params={"include": include}) for id in (own, others)]
            for include in ("shadow", "feedback", "shadow,feedback", "feedback,secrets")
        ]
        answers.append([await client.get(f"/v1/predictions/{id}") for id in (own, others)])
        return [[(one.status_code, one.json()) for one in pair] for pair in answers]

    shadow, feedback, both, wrong, plain = serve(claim, engine=engine, routes=[DIGITS])
    assert [pair[0][0] for pair in (shadow, feedback, both, wrong, plain)] == [200, 200, 200, 422, 200]
    assert [pair[1][0] for pair in (shadow, feedback, both, wrong, plain)] == [404] * 5
    assert [one["label"] for one in feedback[0][1]["feedback"]] == ["7", "1"]
    assert [one["version"] for one in shadow[0][1]["shadow"]] == ["4"]
    assert ("shadow" in feedback[0][1], "feedback" in shadow[0][1]) == (False, False)
    assert both[0][1] == shadow[0][1] | feedback[0][1]
    assert plain[0][1] == {name: value for name, value in both[0][1].items() if name not in ("shadow", "feedback")}
    assert "only shadow, feedback, deliveries and events can be" in wrong[0][1]["detail"]


def test_an_answer_is_stored_listed_and_not_stored_twice(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    id = add()
    path = f"/v1/predictions/{id}/feedback"

    async def claim(client: httpx.AsyncClient) -> list[Any]:
        bodies = [{"label": "1", "by": "anna"}, {"label": "1", "by": "anna"}, {"label": "owl", "comment": "an owl"}]
        given = [await client.post(path, json=body) for body in bodies]
        page = (await client.get(path, params={"limit": 1})).json()
        rest = (await client.get(page["next"])).json()
        return [[(one.status_code, one.json()["known"]) for one in given], page["results"] + rest["results"]]

    statuses, listed = serve(claim, engine=engine, routes=[DIGITS])
    assert statuses == [(201, True), (200, True), (201, False)]
    assert [(one["label"], one["by"], one["comment"]) for one in listed] == [
        ("owl", None, "an owl"),
        ("1", "anna", None),
    ]


ANSWERS: list[tuple[str, Any, int]] = [
    ("class", {"label": "7"}, 201),
    ("class", {"label": "7", "value": None, "boxes": None}, 201),
    ("class", {"value": 7}, 422),
    ("class", {"boxes": []}, 422),
    ("class", {}, 422),
    ("class", {"comment": "nice"}, 422),
    ("class", {"label": "7", "value": 1}, 422),
    ("class", {"label": ""}, 422),
    ("class", {"label": 7}, 422),
    ("class", {"label": "a\0b"}, 422),
    ("class", {"label": "x" * 256}, 422),
    ("class", {"label": "7", "comment": "x" * 2001}, 422),
    ("class", {"label": "7", "by": ["anna"]}, 422),
    ("class", {"label": "7", "owner": "other"}, 422),
    ("class", ["7"], 400),
    ("multi", {"value": ["a", "new"]}, 201),
    ("multi", {"value": []}, 201),
    ("multi", {"value": "a"}, 422),
    ("multi", {"label": "a"}, 422),
    ("number", {"value": 4}, 201),
    ("number", {"value": True}, 422),
    ("number", {"value": "4"}, 422),
    ("numbers", {"value": 4}, 422),
    ("numbers", {"value": {"age": 4}}, 201),
    ("numbers", {"value": {"ages": 4}}, 422),
    ("numbers", {"value": {}}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [0, 0, 3.5, 4]}]}, 201),
    ("boxes", {"boxes": []}, 201),
    ("boxes", {"boxes": [{"label": "cat", "box": [3, 0, 3, 4]}]}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [-1, 0, 3, 4]}]}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [0, 0, 3]}]}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [0, 0, 3, True]}]}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [0, 0, 3, "4"]}]}, 422),
    ("boxes", {"boxes": [{"box": [0, 0, 3, 4]}]}, 422),
    ("boxes", {"boxes": [{"label": "cat", "box": [0, 0, 1e300, 4]}]}, 422),
    ("boxes", {"boxes": {"label": "cat"}}, 422),
    ("boxes", {"boxes": [{"label": "c", "box": [0, 0, 1, 1]}] * 1001}, 422),
    ("vector", {"label": "same"}, 201),
    ("json", {"value": {"text": "hi"}}, 201),
    ("json", {"value": "x" * 20_000}, 422),
    ("json", {"value": "\0"}, 422),
]


def test_an_answer_has_to_fit_what_was_predicted(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    paths = [f"/v1/predictions/{add(OUTPUTS[output])}/feedback" for output, _, _ in ANSWERS]

    async def claim(client: httpx.AsyncClient) -> list[tuple[int, int]]:
        """Return each answer's status and how many were stored by then."""
        given = []
        for path, (_, body, _) in zip(paths, ANSWERS, strict=True):
            answer = await client.post(path, json=body)
            given.append((answer.status_code, count(engine)))
        return given

    found = serve(claim, engine=engine, routes=[DIGITS])
    stored = 0
    for (output, body, status), told in zip(ANSWERS, found, strict=True):
        stored += status == 201
        assert told == (status, stored), (output, body)


def test_nobody_judges_anothers_prediction_or_one_that_is_not_there(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    theirs = add(owner="other")
    for id in (theirs, new_uuid7(), "nonsense"):
        assert post(serve, engine, f"/v1/predictions/{id}/feedback", {"label": "7"})[0] == 404
        assert post(serve, engine, "/v1/feedback", f"id,label\n{id},7\n".encode())[1]["refused"] == 1
    assert count(engine) == 0


def test_what_has_not_ended_can_not_be_judged(serve: Serve, engine: Engine, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> list[Any]:
        id = (await client.post("/v1/predictions", files={"image": png})).json()["id"]
        one = await client.post(f"/v1/predictions/{id}/feedback", json={"label": "7"})
        csv = await client.post("/v1/feedback", content=f"id,label\n{id},7\n", headers={"Content-Type": "text/csv"})
        await client.post(f"/v1/predictions/{id}/cancel")
        # It has ended, and is not recorded.
        after = await client.post(f"/v1/predictions/{id}/feedback", json={"label": "7"})
        return [one.status_code, one.json()["type"], csv.json()["errors"][0]["detail"], after.status_code]

    assert serve(claim, engine=engine, routes=[DIGITS]) == [
        409, "/problems/prediction-not-ended", "the prediction has not ended: it is starting", 201,
    ]  # fmt: skip


def test_a_key_makes_a_retry_harmless(serve: Serve, engine: Engine, add: Callable[..., PredictionId]) -> None:
    path = f"/v1/predictions/{add()}/feedback"
    _, first = post(serve, engine, path, {"label": "7"}, Idempotency_Key="k")
    assert post(serve, engine, path, {"label": "1"})[0] == 201
    assert post(serve, engine, path, {"label": "7"}, Idempotency_Key="k") == (200, first)
    status, problem = post(serve, engine, path, {"label": "1"}, Idempotency_Key="k")
    assert (status, problem["type"], problem["first_id"]) == (422, "/problems/idempotency-mismatch", first["id"])


@pytest.mark.parametrize(("chunk", "labels"), [(giving.CHUNK, "7889"), (1, "789"), (2, "797")])
def test_a_csv_under_a_key_may_name_a_prediction_again(
    serve: Serve,
    engine: Engine,
    add: Callable[..., PredictionId],
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    labels: str,
) -> None:
    monkeypatch.setattr(giving, "CHUNK", chunk)
    first, other = add(), add()
    changes = 1 + sum(one != before for before, one in itertools.pairwise(labels))
    csv = f"id,label\n{other},1\n" + "".join(f"{first},{label}\n" for label in labels)

    def send(csv: str) -> tuple[int, int, int]:
        summary = post(serve, engine, "/v1/feedback", csv.encode(), Idempotency_Key="k")[1]
        return summary["created"], summary["unchanged"], summary["refused"]

    def counting() -> str | None:
        with engine.connect() as connection:
            return list_feedback(connection, Owner("default"), prediction=first, before=None, limit=1)[0].label

    assert (send(csv), counting()) == ((1 + changes, len(labels) - changes, 0), labels[-1])
    assert (send(csv), counting()) == ((0, 1 + len(labels), 0), labels[-1])
    assert post(serve, engine, f"/v1/predictions/{first}/feedback", {"label": "0"})[0] == 201
    assert (send(csv), counting()) == ((0, 1 + len(labels), 0), "0")
    assert send(csv.replace(",1", ",2"))[2] == 1  # another answer under the key


@pytest.mark.parametrize("chunk", [giving.CHUNK, 1])
def test_a_retry_of_a_csv_knows_a_line_that_made_no_row(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(giving, "CHUNK", chunk)
    id = add()
    assert post(serve, engine, f"/v1/predictions/{id}/feedback", {"label": "7"})[0] == 201
    csv = f"id,label\n{id},7\n{id},8\n{id},7\n{id},9\n".encode()
    for created in (3, 0, 0):
        summary = post(serve, engine, "/v1/feedback", csv, Idempotency_Key="k")[1]
        assert (summary["created"], summary["unchanged"]) == (created, 4 - created)
        with engine.connect() as connection:
            told = list_feedback(connection, Owner("default"), prediction=id, before=None, limit=9)
        assert [one.label for one in told] == ["9", "7", "8", "7"]


def test_a_csv_uses_every_line_that_can_be_used(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "CHUNK", 3)
    ids = [add() for _ in range(8)]
    lines = [f"{id},7,pred\r\n" for id in ids]
    csv = "\ufeffID,label,predicted_class\r\n" + "".join(lines) + (
        f"{ids[0]},owl,7\n{ids[1]},,7\n\nnonsense,7,7\n{ids[2]}\n,7,7\n{ids[3]},\"a \"\"b\"\"\nc\",7\n{ids[4]},1,7"
    )  # fmt: skip
    status, summary = post(serve, engine, "/v1/feedback", csv.encode())
    assert status == 200
    errors = summary.pop("errors")
    assert summary == {
        "created": 11, "unchanged": 0, "empty": 1, "refused": 3, "unknown_labels": ["owl", 'a "b"\nc'],
    }  # fmt: skip
    assert [(one["line"], one["detail"]) for one in errors] == [
        (13, "there is no such prediction"),
        (14, "the line has 1 cells, the header 3"),
        (15, "the line names no prediction"),
    ]
    again = post(serve, engine, "/v1/feedback", csv.encode())[1]
    # Three predictions are answered twice in it, so what counts changes to and fro.
    assert (again["created"], again["unchanged"]) == (6, 5)


def test_a_csv_that_names_one_prediction_in_every_line_takes_few_commits(
    serve: Serve, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    id, commits = add(), []
    event.listen(engine, "commit", commits.append)
    csv = "id,label\n" + f"{id},7\n{id},8\n" * 700
    summary = post(serve, engine, "/v1/feedback", csv.encode())[1]
    assert (summary["created"], summary["refused"]) == (1400, 0)
    assert len(commits) < 10


def test_a_batchs_csv_names_images_by_custom_id(serve: Serve, engine: Engine, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> list[Any]:
        names = ["a.png", "b.png", "b.png"]
        lines = b"".join(
            orjson.dumps({"custom_id": name, "image": "bm8gaW1hZ2U="}) + b"\n" for name in names
        )  # no images: each fails at once
        batch = (
            await client.post(
                "/v1/batches",
                content=lines,
                params={"model": "digits"},
                headers={"Content-Type": "application/x-ndjson"},
            )
        ).json()
        with engine.connect() as connection:
            entries: Any = redis_client.xrange("finished")
            record(connection, [fields for _, fields in entries])
        path, other = f"/v1/batches/{batch['id']}/feedback", f"/v1/batches/{new_uuid7()}/feedback"
        kind = {"Content-Type": "text/csv"}
        csv = "custom_id,label\na.png,7\nb.png,7\nc.png,7\n"
        first = (await client.post(path, content=csv, headers=kind)).json()
        return [first, (await client.post(other, content=csv, headers=kind)).status_code]

    first, other = serve(claim, engine=engine, routes=[DIGITS])
    assert (first["created"], first["refused"], other) == (1, 2, 404)
    assert [one["detail"] for one in first["errors"]] == [
        "several images of this batch have this custom_id; name it by id",
        "no image of this batch that has ended and is recorded has this custom_id",
    ]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"label\n7\n", {}, 400),
        (b"custom_id,label\na,7\n", {}, 400),  # outside a batch nothing is called so
        (b"id,predicted\n", {}, 400),
        (b"id,label,label\n", {}, 400),
        (b"id,id,label\n", {}, 400),
        (b"\xff\xfe,label\n", {}, 400),
        (b"id" + b",x" * 300 + b",label\n", {}, 400),
        (b"id,label\n", {"Content-Type": "application/json"}, 400),
        (b"id,label\n", {"Content-Length": str(300 * 1024 * 1024)}, 413),
        (b"id,label\n", {"Idempotency-Key": "x" * 256}, 422),
        (b"id,label\n", {}, 200),
        (b"id;label\n", {}, 200),
    ],
)
def test_a_csv_that_is_none_is_refused(
    serve: Serve, engine: Engine, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert post(serve, engine, "/v1/feedback", body, **headers)[0] == status


def test_without_postgres_it_is_a_503_and_nothing_is_lost(serve: Serve, nowhere: Engine) -> None:
    status, problem = post(serve, nowhere, "/v1/feedback", f"id,label\n{new_uuid7()},7\n".encode())
    assert (status, problem["type"]) == (503, "/problems/storage-unavailable")


def test_a_webhook_that_asks_for_it_is_told(serve: Serve, engine: Engine, add: Callable[..., PredictionId]) -> None:
    asked, unasked = (
        add(request={"webhook": {"url": HOOK, "events": events}}) for events in (["feedback"], ["completed"])
    )
    post(serve, engine, "/v1/feedback", f"id,label\n{asked},7\n{unasked},7\n".encode(), traceparent=TRACE)
    post(serve, engine, f"/v1/predictions/{asked}/feedback", {"label": "1"}, traceparent=TRACE, tracestate="a=1")
    post(serve, engine, f"/v1/predictions/{asked}/feedback", {"label": "7"}, traceparent="00-nonsense-01")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT kind, body, trace FROM webhook_deliveries WHERE event = 'feedback' ORDER BY body->>'id'")
        ).all()
    told = [(row.kind, row.body["prediction_id"], row.body["label"], row.body["model"], row.trace) for row in rows]
    assert told == [
        ("feedback", asked, "7", "digits", TRACE),
        ("feedback", asked, "1", "digits", f"{TRACE} a=1"),
        ("feedback", asked, "7", "digits", None),
    ]
