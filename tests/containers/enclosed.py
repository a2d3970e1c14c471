"""Programs in enclosures, controlled from outside: started, inspected, signalled, waited for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.processes import suspended

_SCRIPT = Path(__file__).with_name("enclosure.py")


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Something of outside that is seen inside."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The specification for enclosure.py; `shown` are system folders, read-only; `network` is a namespace's file."""

    root: str
    command: list[str]
    environment: dict[str, str]
    workdir: str = "/"
    uid: int = 0
    gid: int = 0
    hostname: str = "build"
    shown: list[tuple[str, str]] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    tmpfs: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    init: bool = False
    network: str = ""


class Enclosed:
    """A program that runs. `folder` has its log, its pid and its specification."""

    def __init__(self, specification: Specification, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.specification, self.log = specification, folder / "log"
        self._pid_file = folder / "pid"
        self._pid_file.unlink(missing_ok=True)
        told = folder / "specification.json"
        told.write_text(json.dumps(asdict(specification) | {"pid_file": str(self._pid_file)}))
        with self.log.open("ab") as log:
            self._outside = subprocess.Popen(
                (sys.executable, "-S", "-E", str(_SCRIPT), str(told)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Return its number outside; inside it is 1."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._outside.poll() is None:
            if self._pid_file.exists() and (text := self._pid_file.read_text()).endswith("\n"):
                return int(text)
            time.sleep(0.01)
        raise RuntimeError(f"it did not start: {self.said()}")

    @property
    def status(self) -> int | None:
        """Return its exit status, None while it runs."""
        return self._outside.poll()

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def wait(self, *, seconds: float) -> int:
        """Return its exit status; raises TimeoutExpired."""
        return self._outside.wait(timeout=seconds)

    def send(self, number: signal.Signals) -> None:
        """Signal process 1, as `docker kill` does."""
        os.kill(self.pid, number)

    def stop(self, number: signal.Signals, *, grace_seconds: float) -> tuple[int, float]:
        """Do what `docker stop` does; return the exit status and the seconds it took."""
        started = time.monotonic()
        if self.status is None:
            self.send(number)
            try:
                self.wait(seconds=grace_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.wait(seconds=10), time.monotonic() - started

    def kill(self) -> None:
        """End everything inside at once."""
        if self.status is None:
            self.send(signal.SIGKILL)
            self.wait(seconds=30)

    def run(self, command: list[str], *, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Do what `docker exec` does: the program's own namespaces, root, folder, user and environment."""
        told = self.specification
        entered = (
            shutil.which("nsenter") or "nsenter", "--target", str(self._inner()), "--mount", "--uts", "--ipc", "--net",
            "--pid", "--root", "--wd", "--setuid", str(told.uid), "--setgid", str(told.gid),
        )  # fmt: skip
        program = subprocess.Popen(
            (*entered, *command),
            env=told.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = program.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)  # what it entered with forks, and the fork holds the pipes
            program.communicate()
            raise
        return subprocess.CompletedProcess(command, program.returncode, output, errors)

    def _inner(self) -> int:
        """Return a process that has entered its root by now; raises RuntimeError where there is none any more."""
        pid, deadline = self.pid, time.monotonic() + 30
        while time.monotonic() < deadline and self.status is None:
            if Path(f"/proc/{pid}/root").readlink() != Path("/"):
                return pid
            time.sleep(0.01)
        raise RuntimeError(f"it has ended: {self.said()}")

    def resident_bytes(self) -> int:
        """Return the memory of all its processes, what they share counted once."""
        return sum(_proportional_bytes(pid) for pid in _tree(self.pid))

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Freeze every process inside for a while, as if all of it hung."""
        with suspended(_tree(self.pid)):
            yield


def _tree(pid: int) -> list[int]:
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        for task in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            left += [int(child) for child in task.read_text().split()]
    return found


def _proportional_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
