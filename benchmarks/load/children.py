"""Measuring processes: each prepares itself, reports ready, and begins when told."""

import subprocess
import sys
from pathlib import Path
from typing import Self

_READY = b"ready\n"


class ChildFailed(Exception):
    """A measuring process failed; carries the end of its output."""


def read_task() -> bytes:
    """In the child: return its task, one line of standard input."""
    return sys.stdin.buffer.readline()


def ready() -> None:
    """In the child: report ready, and wait until told to begin."""
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.readline()


def wait_for_end() -> None:
    """In a child that runs until told to end: return when told, or when the parent is gone."""
    sys.stdin.buffer.readline()


class Child:
    """One measuring process, which runs a module of this package; a context manager that ends it in any case."""

    def __init__(self, module: str, *, task: bytes, output: Path) -> None:
        self._output = output
        self._log = output.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(output)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._tell(task + b"\n")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def wait_until_ready(self) -> Self:
        """Return when the process is prepared. Raises ChildFailed."""
        assert self._process.stdout is not None  # noqa: S101  Popen was asked for a pipe
        if self._process.stdout.readline() != _READY:
            self._process.wait()
            raise self._failure()
        return self

    def begin(self) -> None:
        """Tell it to begin."""
        self._tell(b"begin\n")

    def end(self) -> None:
        """Tell one that runs until told to end and to write its result."""
        self._tell(b"end\n")

    def result(self, *, limit: float) -> Path:
        """Return the file it wrote, `limit` seconds from now at the latest. Raises ChildFailed."""
        try:
            code = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"no result within {limit:.0f} s\n{self._said()}") from None
        if code != 0:
            raise self._failure()
        return self._output

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101  Popen was asked for a pipe
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _failure(self) -> ChildFailed:
        return ChildFailed(f"exit code {self._process.returncode}\n{self._said()}")

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]
