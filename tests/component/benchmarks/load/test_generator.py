"""The load generator with a server whose tasks are polled, on one route or two."""

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import image_files
from benchmarks.load.connection import WrongAnswer
from benchmarks.load.generator import Generator
from benchmarks.load.plan import Outcome, Plan

POLLS = 3
"""A task has ended when it is polled for the third time."""


class Tasks(ThreadingHTTPServer):
    """Gives each image a task, whose result is in its state and on a route of its own; the one named may fail."""

    def __init__(self, *, failing: str = "") -> None:
        self.polled: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.failing = failing
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the generator has closed."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Tasks

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            id = f"task-{len(self.server.polled)}"
            self.server.polled[id] = 0
        self._answer(202, f'{{"task_id":"{id}"}}')

    def do_GET(self) -> None:
        route, id = self.path.rsplit("/", 1)
        if route == "/result":
            self.server.read[id] += 1
            self._answer(200, f'{{"class":"{id}"}}')
            return
        self.server.polled[id] += 1
        ended = self.server.polled[id] >= POLLS
        state = "running" if not ended else "failed" if id == self.server.failing else "completed"
        self._answer(200, f'{{"status":"{state}","class":"{id if ended else ""}"}}')

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    with Tasks() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def sent(tasks: Tasks, images: Path, **changed: Any) -> Outcome:
    image_files.write(images, [b"\xff\xd8\xff\xd9"])
    plan = Plan(
        **{
            "port": tasks.server_port,
            "path": "/images",
            "images": str(images),
            "count": 20,
            "stamp": 1,
            "accepted": 202,
            "id_mark": '"task_id":"',
            "class_mark": '"class":"',
            "connections": 4,
            "poll_path": "/state/",
            "poll_pause": 0.001,
            "done_mark": '"completed"',
            "failed_mark": '"failed"',
            **changed,
        }
    )
    return Generator(plan).run()


@pytest.mark.parametrize("route", ["", "/result/"], ids=["in the state", "on its own route"])
def test_each_task_is_polled_until_it_has_ended_and_its_result_is_read(
    tasks: Tasks, tmp_path: Path, route: str
) -> None:
    outcome = sent(tasks, tmp_path / "images", result_path=route)
    assert outcome.classes == outcome.ids
    assert set(outcome.ids) == set(tasks.polled)
    assert set(tasks.polled.values()) == {POLLS}
    assert tasks.read == (dict.fromkeys(outcome.ids, 1) if route else {})


def test_a_task_that_fails_is_a_wrong_answer(tasks: Tasks, tmp_path: Path) -> None:
    tasks.failing = "task-7"
    with pytest.raises(WrongAnswer, match="failed"):
        sent(tasks, tmp_path / "images")
