"""`darkroom feedback` killed, interrupted or cut off anywhere and repeated: the result is as if it ran once."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cli.client import Patience
from cli.feedback import run
from cli.terminal.refused import Refused
from tests.support.api_client import Door
from tests.support.waiting import LIMIT

if TYPE_CHECKING:
    from tests.support.stack import Stack

PARTS, LINES_AT_ONCE = 3, 500
SMALL_PARTS = f"""
from cli.feedback import run
run.LINES_AT_ONCE = {LINES_AT_ONCE}
from cli.main import app
app()
"""
"""`darkroom`, which makes parts of 500 lines: 5,000 would say no more of a run that is stopped."""
LABELS = ("1", "2", "3")
IMAGES = 4


Place = tuple[int, str]
"""The number of a part, and whether it is before or after the stack's gateway has used it."""


class Between:
    """A gateway of the test's own before the stack's, which does something `at` places."""

    def __init__(self, url: str) -> None:
        self.at: dict[Place, Callable[[], None]] = {}
        self.refuses = 0
        """So many of the next requests are cut off, one by one before and after they reached the stack's gateway."""
        self.most: int | None = None
        """After so many parts that were used every request is cut off."""
        self.url = ""
        self._stack, self._used = url, 0

    def signal(self, file: Path, home: Path, *, at: Place, by: signal.Signals) -> "subprocess.Popen[str]":
        """Start the command on a file and send it a signal at a place."""
        started: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self.at = {at: lambda: started.get(timeout=LIMIT).send_signal(by)}
        process = start(file, self.url, home)
        started.put(process)
        return process

    def _act(self, *place: object) -> None:
        self.at.pop(place, lambda: None)()  # type: ignore[call-overload]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        number = int(handler.headers["idempotency-key"].split("-")[1])
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self._act(number, "before")
        cut, self.refuses = self.refuses, max(0, self.refuses - 1)
        if cut % 2 or self._used == self.most:
            return
        names = ("content-type", "idempotency-key")
        sent = {name: handler.headers[name] for name in names}
        answer = httpx.post(f"{self._stack}{handler.path}", content=body, headers=sent, timeout=LIMIT)
        self._act(number, "after")
        self._used += answer.is_success
        if cut:
            return
        handler.send_response(answer.status_code)
        handler.send_header("content-type", answer.headers["content-type"])
        handler.send_header("content-length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)


@contextmanager
def between(url: str) -> Iterator[Between]:
    gateway = Between(url)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gateway.answer(self)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def labels(stack: "Stack", door: Door, tmp_path: Path) -> tuple[Path, list[str]]:
    """A file of three parts that labels four pictures again and again, otherwise each time; and their predictions."""
    stack.wait_until_ready()
    headers = {"Prefer": "wait", "Content-Type": "image/png"}
    ids = [door.post(content=path.read_bytes(), headers=headers).json()["id"] for path in stack.images[:IMAGES]]
    lines = [f"{ids[n % IMAGES]},{LABELS[n // IMAGES % len(LABELS)]}" for n in range(PARTS * LINES_AT_ONCE)]
    file = tmp_path / "labels.csv"
    # A BOM and CRLF, as Excel writes them.
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["id,label", *lines, ""]).encode())
    return file, ids


def given(door: Door, id: str) -> list[str]:
    """Return the labels of a prediction, the first that was given first."""
    found: list[str] = []
    url = f"/v1/predictions/{id}/feedback?limit=1000"
    while url:
        page = door.http.get(url).json()
        found += [one["label"] for one in page["results"]]
        url = page["next"]
    return found[::-1]


def expected() -> list[str]:
    return [LABELS[n % len(LABELS)] for n in range(PARTS * LINES_AT_ONCE // IMAGES)]


def start(file: Path, url: str, home: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"DARKROOM_URL": url, "DARKROOM_HOME": str(home)}
    command = [sys.executable, "-c", SMALL_PARTS, "feedback", str(file)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_killed_anywhere_and_repeated_it_gives_each_answer_once(
    stack: "Stack", door: Door, labels: tuple[Path, list[str]], tmp_path: Path
) -> None:
    file, ids = labels
    with between(stack.url) as gateway:
        for place in [(0, "before"), (0, "after"), (1, "after"), (2, "before"), (2, "after")]:
            killed = gateway.signal(file, tmp_path / "home", at=place, by=signal.SIGKILL)
            killed.communicate(timeout=LIMIT)
            assert killed.returncode == -signal.SIGKILL
        repeated = start(file, gateway.url, tmp_path / "home")
        said, wrong = repeated.communicate(timeout=LIMIT)
        assert (repeated.returncode, wrong) == (0, "")
    assert said.splitlines()[-1] == f"0 new; {PARTS * LINES_AT_ONCE:,} said before"
    for id in ids:
        assert given(door, id) == expected()


def test_interrupted_it_says_what_is_used_and_how_to_go_on(
    stack: "Stack", door: Door, labels: tuple[Path, list[str]], tmp_path: Path
) -> None:
    file, ids = labels
    with between(stack.url) as gateway:
        interrupted = gateway.signal(file, tmp_path / "home", at=(1, "after"), by=signal.SIGINT)
        said, wrong = interrupted.communicate(timeout=LIMIT)
        assert (interrupted.returncode, wrong) == (130, "")
        last = said.splitlines()[-1]
        assert last.startswith(f"Interrupted. Lines up to {LINES_AT_ONCE + 1:,} are used: {LINES_AT_ONCE:,} new. ")
        assert re.search(rf"sends the rest and gives nothing twice: \S*darkroom feedback {re.escape(str(file))}", last)
        # And cut off a few times, before and after the gateway has used a part.
        gateway.refuses = 4
        again = start(file, gateway.url, tmp_path / "home")
        said, wrong = again.communicate(timeout=LIMIT)
        assert (again.returncode, wrong) == (0, "")
    assert said.splitlines()[-1] == f"{2 * LINES_AT_ONCE:,} new; {LINES_AT_ONCE:,} said before"
    for id in ids:
        assert given(door, id) == expected()
    # All was sent: to say the same anew is another run, which is compared with what counts.
    third = start(file, stack.url, tmp_path / "home")
    said, _ = third.communicate(timeout=LIMIT)
    assert said.splitlines()[-1].startswith(f"{PARTS * LINES_AT_ONCE:,} new")


def test_a_gateway_that_stays_away_ends_it_with_what_is_used(
    stack: "Stack", labels: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_API_KEY", "")
    monkeypatch.setattr(run, "LASTING", Patience(tries=5))
    monkeypatch.setattr(run, "LINES_AT_ONCE", LINES_AT_ONCE)
    with between(stack.url) as gateway:
        gateway.most = 1
        monkeypatch.setenv("DARKROOM_URL", gateway.url)
        with pytest.raises(
            Refused, match=rf"Not all was sent: Nothing answers .* Lines up to {LINES_AT_ONCE + 1:,} are"
        ):
            run.feedback(tmp_path / "home", labels[0], batch=None)
