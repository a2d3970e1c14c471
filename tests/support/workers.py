"""Celery worker processes, which run Celery's own command."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from tests.support.ports import free_port
from tests.support.program_forks import ROOT, Program, start
from tests.support.waiting import ENOUGH_TIME, LIMIT
from worker.health import find_problem

POOLS = {"record,upkeep": ("threads", "--concurrency", "2")}
"""Of these queues; all others are worked off by a solo one."""


class Worker:
    """One worker process; `lines` are its log."""

    def __init__(self, queues: str, *, directory: Path, environment: dict[str, str]) -> None:
        """Begin it, with these settings and no others."""
        self.metrics_port = free_port()
        self._log = directory / f"{queues.replace('/', '_')[:40]}-{self.metrics_port}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        self._environment = kept | {"DARKROOM_METRICS_PORT": str(self.metrics_port)} | ENOUGH_TIME | environment
        arguments = (
            "--app", "worker.main", "--quiet", "worker", "--hostname", f"w{self.metrics_port}@test",
            "--queues", queues, "--pool", *POOLS.get(queues, ("solo",)), "--without-mingle", "--without-gossip",
        )  # fmt: skip
        with self._log.open("wb") as log:
            self._process = start(Program("celery", arguments, self._environment, ROOT), log=log.fileno())

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines that are Darkroom's JSON."""
        said = self._log.read_bytes().splitlines()
        return [orjson.loads(line) for line in said if line.startswith(b"{") and line.endswith(b"}")]

    @property
    def text(self) -> str:
        """Everything that it wrote."""
        return self._log.read_text(errors="replace")

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]

    def wait_until_said(self, event: str, *, seconds: float = LIMIT) -> dict[str, Any]:
        """Return the first line of an event; fails where the process ends or the time does."""
        until = time.monotonic() + seconds
        while not (found := self.said(event)):
            assert self._process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.1)
        return found[0]

    def wait_for_end(self, *, seconds: float = LIMIT) -> int:
        """Return its exit status; fails where it has not ended in time."""
        return self._process.wait(timeout=seconds)

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def tell_to_stop(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def health(self) -> tuple[int, str]:
        """Return what `python -m worker.health` says: its exit status and words."""
        command = [sys.executable, "-m", "worker.health"]
        asked = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        return asked.returncode, asked.stderr.strip()

    def wait_until_healthy(self, *, seconds: float = LIMIT) -> None:
        """Return when `python -m worker.health` finds it well; that process is started once, when it will."""
        until = time.monotonic() + seconds
        while find_problem(port=self.metrics_port, longest=timedelta(hours=1), now=time.time()):
            assert self.lives, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.1)
        assert self.health() == (0, "")

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.lives:
            self._process.kill()
        self._process.wait()
