import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.client import Client, Declined
from cli.submit.run import Line, submit_files

STARTING = {"id": "1", "status": "starting", "output": None, "error": None}
DONE = STARTING | {"status": "succeeded", "output": {"predicted_class": "7", "confidence": 0.998}}
BUSY = (503, {"Retry-After": "0"}, {"title": "Full", "detail": "the queue is full"})


class Gateway(ThreadingHTTPServer):
    """Answers with the given responses, in order, and keeps the requests."""

    def __init__(self, answers: list[tuple[int, dict[str, str], object]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.asked.append((self.command, self.path, self.headers.get("Idempotency-Key", "")))
        status, headers, body = self.server.answers.pop(0)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815  the base class's name

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def gateway(*answers: tuple[int, dict[str, str], object]) -> Iterator[Gateway]:
    with Gateway(list(answers)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def submit(url: str, *, wait: bool = True, webhook: str | None = None) -> dict[str, object]:
    with Client(url) as client:
        return client.submit(b"image", filename="7.png", model="digits", wait=wait, webhook=webhook)


def test_waits_until_the_prediction_is_terminal() -> None:
    with gateway((202, {}, STARTING), (200, {}, STARTING), (200, {}, DONE)) as server:
        assert submit(server.url) == DONE
        assert [path for _, path, _ in server.asked] == ["/v1/predictions", "/v1/predictions/1", "/v1/predictions/1"]


def test_does_not_wait_unless_asked() -> None:
    with gateway((202, {}, STARTING)) as server:
        assert submit(server.url, wait=False) == STARTING


def test_a_webhook_is_sent_where_there_is_one() -> None:
    with gateway((202, {}, STARTING), (202, {}, STARTING)) as server:
        submit(server.url, wait=False, webhook="https://example.com/hook?a=b")
        submit(server.url, wait=False)
        with_one, without = server.bodies
    assert b'name="webhook"\r\n\r\nhttps://example.com/hook?a=b\r\n' in with_one
    assert b"webhook" not in without


def test_a_busy_gateway_is_retried_under_the_same_key() -> None:
    with gateway(BUSY, BUSY, (200, {}, DONE)) as server:
        assert submit(server.url) == DONE
        assert len(server.asked) == 3
        assert len({key for _, _, key in server.asked}) == 1
        assert server.asked[0][2]


def test_a_gateway_that_stays_busy_is_given_up_with_its_own_error() -> None:
    with gateway(*[BUSY] * 5) as server, pytest.raises(Declined, match="the queue is full"):
        submit(server.url)


def test_a_problem_is_reported_by_its_detail() -> None:
    with gateway((415, {}, {"title": "Unsupported", "detail": "that is a text"})) as server:
        with pytest.raises(Declined, match=r"^that is a text$"):
            submit(server.url)
        assert len(server.asked) == 1


def test_an_answer_that_is_no_problem_is_reported_with_the_address() -> None:
    with gateway((404, {}, b"<html>")) as server, pytest.raises(Declined, match=r"/v1/predictions answers 404"):
        submit(server.url)


def test_a_missing_gateway_is_reported_at_once() -> None:
    with pytest.raises(Declined, match=r"Nothing answers at http://127\.0\.0\.1:1 "):
        submit("http://127.0.0.1:1")


def test_files_get_a_line_each_in_order_and_a_failure_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    lines: list[Line] = []
    with gateway((200, {}, DONE)) as server, Client(server.url) as client:
        files = [tmp_path / "a.png", tmp_path / "b.png"]
        assert not submit_files(client, files, model=None, wait=True, webhook=None, say_line=lines.append)
    assert lines[0].text.split() == [str(tmp_path / "a.png"), "1", "succeeded", "7", "0.998"]
    assert "No such file" in lines[1].text
    assert [line.failed for line in lines] == [False, True]
