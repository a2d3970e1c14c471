import asyncio
from datetime import UTC, datetime

import orjson
import pytest
import uvloop

from benchmarks.load.connection import WrongAnswer
from benchmarks.load.received import Received
from benchmarks.load.receiver import Line, Post, read
from benchmarks.measuring import webhook_deliveries
from benchmarks.workbench import WrongResult
from tests.support.waiting import LIMIT

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def posted(name: str = "a", *, completed_at: str | None = "2026-01-31T12:00:00.250000Z") -> bytes:
    body = orjson.dumps({"id": f"of {name}", "completed_at": completed_at})
    return f"POST / HTTP/1.1\r\nContent-Length: {len(body)}\r\nwebhook-id: {name}\r\n\r\n".encode() + body


async def exchange(pieces: list[bytes], *, answers: int) -> list[Post]:
    """Send the pieces to a receiver over one connection; return what it recorded after so many answers."""
    came: list[Post] = []
    server = await asyncio.get_running_loop().create_server(lambda: Line(came), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.02)
    assert await asyncio.wait_for(reader.readexactly(answers * len(ANSWER)), LIMIT) == answers * ANSWER
    writer.close()
    await writer.wait_closed()
    server.close()
    return came


def test_requests_in_pieces_and_together_are_answered_once_each() -> None:
    first, both = posted("a"), posted("b") + posted("c")
    came = uvloop.run(exchange([first[:30], first[30:-3], first[-3:], both], answers=3))
    assert read(came, processor_seconds=0).ids == ["a", "b", "c"]
    assert [post.arrived for post in came] == sorted(post.arrived for post in came)


def test_milliseconds_are_counted_from_the_predictions_end() -> None:
    head, _, body = posted().partition(b"\r\n\r\n")
    instant = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC).timestamp()
    received = read([Post(7.0, instant, head.lower(), body)], processor_seconds=0)
    assert received.milliseconds == pytest.approx([750.0])
    assert (received.predictions, received.arrived) == (["of a"], [7.0])


@pytest.mark.parametrize(
    "request_", [posted(completed_at=None), posted().replace(b"webhook-id", b"webhook-no")], ids=["goes on", "no id"]
)
def test_an_invalid_request_is_a_wrong_answer(request_: bytes) -> None:
    head, _, body = request_.partition(b"\r\n\r\n")
    with pytest.raises(WrongAnswer):
        read([Post(0.0, 0.0, head.lower(), body)], processor_seconds=0)


@pytest.mark.parametrize(
    ("ids", "predictions"),
    [(["a"], ["1"]), (["a", "a"], ["1", "2"]), (["a", "b", "c"], ["1", "2", "2"]), (["a", "b"], ["1", "1"])],
    ids=["one is missing", "an id twice", "a prediction twice", "one twice, one missing"],
)
def test_each_prediction_must_be_received_exactly_once(ids: list[str], predictions: list[str]) -> None:
    with pytest.raises(WrongResult):
        webhook_deliveries.check_received(received(ids, predictions), ["1", "2"])
    webhook_deliveries.check_received(received(["a", "b"], ["2", "1"]), ["1", "2"])


def received(ids: list[str], predictions: list[str]) -> Received:
    nothing = [0.0] * len(ids)
    return Received(ids=ids, predictions=predictions, arrived=nothing, milliseconds=nothing, processor_seconds=0.0)
