"""The receiver over real sockets; deliveries are signed with the library that the webhook worker uses."""

import http.client
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from standardwebhooks import Webhook

from cli.webhooks.delivery import Delivery
from cli.webhooks.receiver import MOST_BYTES, Receiver
from tests.support.waiting import LIMIT

SECRET = "whsec_" + "A" * 43 + "="
PREDICTION = {"id": "0198-p", "status": "succeeded", "output": {"predicted_class": "7"}, "batch_id": None}
BATCH = {"id": "0198-b", "status": "completed", "request_counts": {"total": 100, "succeeded": 98, "failed": 2}}


class Listening:
    """A running receiver, and what it reported."""

    def __init__(self, receiver: Receiver, told: "queue.Queue[Delivery | str]") -> None:
        self.port = receiver.server_address[1]
        self._told = told

    def told(self) -> Delivery | str:
        """Return the next thing it reports."""
        return self._told.get(timeout=LIMIT)

    def has_told_all(self) -> bool:
        return self._told.empty()

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)) as connection:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            assert response.read() == b""
            return response.status

    def say(self, words: bytes) -> bytes:
        """Send any bytes, and return what is received until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as connection:
            connection.sendall(words)
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def works(self) -> bool:
        body = json.dumps(PREDICTION).encode()
        status, told = self.post(body, signed(body)), self.told()
        return status == 204 and isinstance(told, Delivery) and not told.doubt


def signed(body: bytes, *, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "0198-e",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("0198-e", at, body.decode()),
    }


@pytest.fixture
def listening() -> Iterator[Listening]:
    told: queue.Queue[Delivery | str] = queue.Queue()
    with Receiver(0, Webhook(SECRET), told.put, patience=timedelta(seconds=0.3)) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Listening(receiver, told)
        receiver.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (PREDICTION, "prediction  0198-p  succeeded  7"),
        (PREDICTION | {"status": "failed", "output": None}, "prediction  0198-p  failed"),
        (PREDICTION | {"status": "processing", "output": None}, "prediction  0198-p  processing"),
        (PREDICTION | {"output": [0.1, 0.9]}, "prediction  0198-p  succeeded"),
        (BATCH, "batch  0198-b  completed  98 of 100 succeeded"),
        ({"hello": "world"}, "neither prediction nor batch"),
        ([], "neither prediction nor batch"),
    ],
)
def test_a_signed_delivery_is_answered_204_and_described(listening: Listening, facts: object, said: str) -> None:
    body = json.dumps(facts).encode()
    assert listening.post(body, signed(body)) == 204
    assert listening.told() == Delivery("0198-e", said, "")


def test_one_of_two_signatures_is_enough(listening: Listening) -> None:
    body = json.dumps(BATCH).encode()
    headers = signed(body)
    headers["webhook-signature"] = f"v1,{'B' * 43}= v1a,xyz {headers['webhook-signature']}"
    assert listening.post(body, headers) == 204


BODY = json.dumps(PREDICTION).encode()


def changed(**headers: str) -> dict[str, str]:
    """Sign the body now, and override some of the headers."""
    return signed(BODY) | {f"webhook-{name}": value for name, value in headers.items()}


def later(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


@pytest.mark.parametrize(
    ("make", "doubt"),
    [
        (lambda: signed(BODY, secret="whsec_" + "B" * 43 + "="), "no matching signature found"),
        (lambda: signed(BODY + b" "), "no matching signature found"),
        (lambda: changed(id="0198-other"), "no matching signature found"),
        (lambda: changed(timestamp=str(int(later(seconds=1).timestamp()) + 1)), "no matching signature found"),
        (lambda: signed(BODY, at=later(minutes=-6)), "message timestamp too old"),
        (lambda: signed(BODY, at=later(minutes=6)), "message timestamp too new"),
        (lambda: changed(timestamp="yesterday"), "invalid signature headers"),
        (lambda: changed(timestamp="nan"), "invalid signature headers"),
        (lambda: changed(signature="v1"), "malformed"),
        (lambda: changed(signature="v1,é"), "malformed"),
        (lambda: changed(signature="v1,A"), "malformed"),
        (dict, "missing required headers"),
    ],
)
def test_an_invalid_signature_is_answered_401_and_the_reason_reported(
    listening: Listening, make: Callable[[], dict[str, str]], doubt: str
) -> None:
    headers = make()
    assert listening.post(BODY, headers) == 401
    assert listening.told() == Delivery(headers.get("webhook-id", "no id"), "prediction  0198-p  succeeded  7", doubt)
    assert listening.works()


@pytest.mark.parametrize("body", [b"", b"no JSON", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000])
def test_after_a_body_that_is_no_json_the_next_is_still_verified(listening: Listening, body: bytes) -> None:
    assert listening.post(body, signed(BODY)) == 401
    told = listening.told()
    assert isinstance(told, Delivery)
    assert (told.said, bool(told.doubt)) == ("no JSON", True)
    assert listening.works()


def test_received_text_is_shortened_and_cannot_control_the_terminal(listening: Listening) -> None:
    said = {"id": "\x1b[2J\u202e[red]x\r\n", "status": "y" * 500, "output": {"predicted_class": {"deep": "\x07"}}}
    body = json.dumps(said).encode()
    assert listening.post(body, {"webhook-id": "\x9b31me"}) == 401
    told = listening.told()
    assert isinstance(told, Delivery)
    assert told.event == "31me"
    assert told.said == f"prediction  [2J[red]x  {'y' * 80}…  {{'deep': '\\x07'}}"


def test_the_largest_body_is_accepted_and_a_larger_one_answered_413(listening: Listening) -> None:
    body = json.dumps({"filling": ""}).encode()
    body = body[:-2] + b"x" * (MOST_BYTES - len(body)) + body[-2:]
    assert listening.post(body, signed(body)) == 204
    listening.told()
    larger = b" " + body
    assert listening.post(larger, signed(larger)) == 413
    assert listening.told() == f"refused with 413: {HTTPStatus(413).phrase}"
    # Whatever its Content-Length says.
    assert b" 413 " in listening.say(b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n")
    assert listening.told() == f"refused with 413: {HTTPStatus(413).phrase}"
    assert listening.works()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", b"400"),
        (b"POST / HTTP/9.9\r\n\r\n", b"505"),
        (b"POST / HTTP/1.1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\na: " + b"b" * 70_000, b"431"),
        (b"POST /" + b"a" * 70_000, b"414"),
        (b"GET / HTTP/1.1\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b"400"),
    ],
)
def test_after_invalid_http_the_next_delivery_is_accepted(listening: Listening, words: bytes, status: bytes) -> None:
    assert status in listening.say(words).split(b"\r\n")[0].split()[1:2]
    told = listening.told()
    assert isinstance(told, str)
    assert told.startswith(f"refused with {status.decode()}: ")
    assert listening.works()


def test_hanging_clients_delay_no_other_and_are_disconnected(listening: Listening) -> None:
    began = [b"", b"PO", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"]
    hanging = [socket.create_connection(("127.0.0.1", listening.port), timeout=LIMIT) for _ in range(50) for _ in began]
    try:
        for connection, words in zip(hanging, began * 50, strict=True):
            connection.sendall(words)
        body = json.dumps(PREDICTION).encode()
        assert listening.post(body, signed(body)) == 204
        # Each of them is disconnected.
        assert all(connection.recv(1) in (b"", b"H") for connection in hanging)
    finally:
        for connection in hanging:
            connection.close()


def test_a_client_that_leaves_before_the_answer_causes_one_line_at_most(listening: Listening) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", listening.port), timeout=LIMIT) as connection:
            # Closes with a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
    body = json.dumps(PREDICTION).encode()
    assert listening.post(body, signed(body)) == 204


def test_many_concurrent_deliveries_are_answered(listening: Listening) -> None:
    body = json.dumps(PREDICTION).encode()
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(listening.post(body, signed(body)))) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [204] * 60
    assert all(isinstance(listening.told(), Delivery) for _ in threads)
    assert listening.has_told_all()
