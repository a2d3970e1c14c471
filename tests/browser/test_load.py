"""An open page beside a gateway under load asks no more of it than beside an idle one.

The processor time that the page's processes took is written to `build/console/load.json`; docs/performance.md quotes a
run of it.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Request

from benchmarks.load import image_files
from benchmarks.load.children import Child
from benchmarks.load.plan import Outcome, Plan
from tests.support.console import PICTURES, Console, chromium_seconds
from tests.support.pictures import encoded
from tests.support.stack import Stack
from tests.support.waiting import until

PAGES = ("predictions", "now", "models", "try")
IMAGES = 12_000
MOST_REQUESTS_A_SECOND = 4
ROWS_DRAWN = 40
COUNT_ADDED = """() => {
  window.added = 0;
  const rows = (node) => node.matches?.(".virtual-row") ? 1 : node.querySelectorAll?.(".virtual-row").length ?? 0;
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) window.added += rows(node);
  }).observe(document.body, { childList: true, subtree: true });
}"""


@contextmanager
def load(stack: Stack, folder: Path) -> Iterator[Child]:
    """Prepare the benchmarks' load generator: as many small pictures as it can send, one by one on 64 connections."""
    image_files.write(folder / "images", [encoded(Image.new("RGB", (16, 12), (0, 0, n)), "PNG") for n in range(64)])
    plan = Plan(
        port=stack.port,
        path="/v1/predictions?model=classification",
        images=str(folder / "images"),
        count=IMAGES,
        stamp=int.from_bytes(os.urandom(2)),
        accepted=202,
        limit=120,
    )
    with Child("benchmarks.load.generator", task=plan.as_json(), output=folder / "outcome") as generator:
        yield generator.wait_until_ready()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_a_bounded_number_of_requests_under_load(
    console: Console, stack: Stack, tmp_path: Path, name: str
) -> None:
    page, asked = console.open(f"#/{name}"), Counter[str]()

    def count(request: Request) -> None:
        asked[urlsplit(request.url).path] += 1

    # Open and at rest: whatever it loads at first is not what load makes it do.
    page.wait_for_load_state("networkidle")
    page.evaluate(COUNT_ADDED)
    with load(stack, tmp_path) as generator:
        idle_from, idle_used = time.monotonic(), chromium_seconds()
        page.wait_for_timeout(4000)
        idle = (chromium_seconds() - idle_used) / (time.monotonic() - idle_from)
        page.on("request", count)
        busy_from, busy_used = time.monotonic(), chromium_seconds()
        generator.begin()
        # Playwright's page events are read while the page is waited for.

        def is_over() -> bool:
            page.wait_for_timeout(100)  # Playwright tells of requests only while it is asked something
            return (tmp_path / "outcome").exists()

        until(is_over, seconds=150, what="every picture was accepted")
        seconds = time.monotonic() - busy_from
        busy = (chromium_seconds() - busy_used) / seconds
        outcome = Outcome.from_file(generator.result(limit=30))
    assert sum(asked.values()) <= MOST_REQUESTS_A_SECOND * seconds + 5, asked
    # Of a page that an answer brings no more rows are drawn than are in sight, and a few.
    assert page.evaluate("added") <= ROWS_DRAWN * (asked["/v1/predictions"] + 1)
    told = {
        "page": name,
        "accepted_per_second": round(IMAGES / (outcome.ended - outcome.started)),
        "requests_per_second": round(sum(asked.values()) / seconds, 2),
        "cores_idle": round(idle, 4),
        "cores_under_load": round(busy, 4),
    }
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (PICTURES / "load.json").open("a") as file:
        file.write(json.dumps(told) + "\n")
