"""What an open page costs the service under load: phases with and without it, in turns, beside bulk uploads.

The uploads repeat a few pictures, so that predictions are made as fast as they can be: all but the first are answered
from the cache, and each has its row. Processor time of each process, rows and requests a second are written to
`build/console/page-costs.json`; docs/performance.md quotes a run of it.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Page
from sqlalchemy import create_engine, text

from tests.support.console import PICTURES, Console, chromium_seconds
from tests.support.pictures import encoded
from tests.support.processes import processor_seconds
from tests.support.stack import Stack

PAGES = ("predictions", "batches", "now")
ROLES = ("api", "redis", "postgres", "record", "predict")
UPLOADS_AT_ONCE = 2
LINES = 5_000
SECONDS = 8.0
ROUNDS = 2
MOST_REQUESTS_A_SECOND = 4


def lines() -> bytes:
    """A body of LINES lines that repeat 64 pictures."""
    pictures = [encoded(Image.new("RGB", (16, 12), (0, n, 255)), "PNG") for n in range(64)]
    written = [json.dumps({"image": base64.b64encode(one).decode()}) + "\n" for one in pictures]
    return "".join(written[number % len(written)] for number in range(LINES)).encode()


@contextmanager
def uploads(stack: Stack) -> Iterator[None]:
    """Send such bodies, one after the other on each of a few connections, until the block ends."""
    over, body, refused = threading.Event(), lines(), list[str]()

    def send() -> None:
        connection = HTTPConnection("127.0.0.1", stack.port, timeout=120)
        while not over.is_set():
            connection.request(
                "POST", "/v1/batches?model=classification", body, {"Content-Type": "application/x-ndjson"}
            )
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 202:
                refused.append(told.decode())
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(UPLOADS_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert refused == []


def phase(page: Page, stack: Stack, name: str | None, asked: list[str]) -> dict[str, Any]:
    """Measure for SECONDS, with this page open or none."""
    page.goto(f"{stack.url}/#/{name}" if name else "about:blank")
    page.wait_for_timeout(2500)  # opened, and at rest
    read: Callable[[], dict[str, float]] = lambda: {  # noqa: E731
        "page": chromium_seconds(),
        **{role: processor_seconds(*map(psutil.Process, stack.pids(role))) for role in ROLES},
    }
    asked.clear()
    began, wall, before = time.time(), time.monotonic(), read()
    page.wait_for_timeout(SECONDS * 1000)
    after, seconds = read(), time.monotonic() - wall
    return {
        "open": name,
        "began": began,
        "ended": began + seconds,
        "requests_per_second": len(asked) / seconds,
        "cores": {part: round((after[part] - before[part]) / seconds, 4) for part in before},
    }


@pytest.mark.timeout(400)
def test_what_an_open_page_costs_beside_bulk_uploads(console: Console, stack: Stack) -> None:
    page, asked = console.page, list[str]()
    page.on("request", lambda request: asked.append(request.url))
    phases = []
    with uploads(stack):
        for turn in range(ROUNDS):
            for name in PAGES:
                for shown in (None, name) if turn % 2 == 0 else (name, None):
                    phases.append({"beside": name, **phase(page, stack, shown, asked)})
                    assert phases[-1]["requests_per_second"] <= MOST_REQUESTS_A_SECOND
    engine = create_engine(stack.stores["DARKROOM_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"))
    count = text(
        "SELECT count(*) FROM predictions WHERE recorded_at BETWEEN to_timestamp(:began) AND to_timestamp(:ended)"
    )
    with engine.connect() as connection:
        for one in phases:
            rows = connection.scalar(count, {"began": one["began"], "ended": one["ended"]})
            one["rows_per_second"] = round(rows / (one["ended"] - one["began"]))
    engine.dispose()
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "page-costs.json").write_text(json.dumps(phases, indent=1))
