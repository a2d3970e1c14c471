"""Runs of `darkroom bulk`: in this process or in one of their own, and what they sent."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.component.cli.bulk.stub_gateway import (
    BulkGateway,
)
from tests.support.waiting import until

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
WEBHOOK = "http://127.0.0.1:9000/"
IMAGES = ["images/0.png", "images/1.png", "images/2.png"]


def briefly(event: threading.Event, seconds: float) -> bool:
    """Shorten every wait to a fiftieth: the stub gateway is ready sooner."""
    return event.wait(seconds / 50)


@contextlib.contextmanager
def started(server: BulkGateway, home: Path, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    environment = ENVIRONMENT | {"DARKROOM_URL": server.url, "DARKROOM_HOME": str(home)}
    command = [sys.executable, "-m", "cli.main", "bulk", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process


def wait_until_noted(home: Path, *, parts: int) -> None:
    until(lambda: sum(path.read_bytes().count(b"\n") for path in home.glob("bulk/*.jsonl")) > parts, pause=0.01)


def sent(server: BulkGateway) -> list[list[str]]:
    return [batch.names for batch in server.state.batches.values()]
