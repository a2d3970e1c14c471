import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli.stack.supervisor import state
from cli.stack.supervisor import state_writer as module
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import StackState
from cli.stack.supervisor.state_writer import StateWriter
from tests.support.waiting import LIMIT

STATE = StackState(ProcessIdentity(1, 1), "http://127.0.0.1:1", ["first"], {}, "/s")
Trouble = Callable[[Path], Iterator[int]]


def full(home: Path) -> Iterator[int]:
    """The draft is written to a device that is always full."""
    (home / "state.json.new").symlink_to("/dev/full")
    yield errno.ENOSPC
    (home / "state.json.new").unlink()


def no_files_left(_: Path) -> Iterator[int]:
    """The process may open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    yield errno.EMFILE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def in_the_way(home: Path) -> Iterator[int]:
    """There is a folder where the file should be."""
    (home / "state.json.new").mkdir()
    yield errno.EISDIR
    (home / "state.json.new").rmdir()


def read_only(home: Path) -> Iterator[int]:
    """The file system has become read-only, as after an error of the disk."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root can make a file system read-only")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        yield errno.EROFS
        subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
        yield 0
    finally:
        subprocess.run(["umount", str(home)], check=True)


@contextmanager
def running(trouble: Iterator[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for _ in trouble:
            pass


@pytest.mark.parametrize("trouble", [full, no_files_left, in_the_way, read_only])
def test_a_state_that_cannot_be_written_is_written_later_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    monkeypatch.setattr(module, "AGAIN_AFTER", timedelta(milliseconds=20))
    happening = trouble(tmp_path)

    async def run() -> None:
        recovered = asyncio.Event()
        notes = StateWriter(tmp_path, recovered=recovered.set)
        number = next(happening)
        for model in ("second", "third", "newest"):
            notes.keep(replace(STATE, models=[model]))
        await asyncio.sleep(0.1)  # it retries, and fails
        assert not recovered.is_set()
        next(happening, None)
        async with asyncio.timeout(LIMIT):
            await recovered.wait()
        written = state.read_state(tmp_path)
        assert written is not None
        assert written.models == ["newest"]
        failures = [record for record in caplog.records if record.message == "state_not_written"]
        assert [os.strerror(number) in str(record.__dict__["error"]) for record in failures] == [True]
        notes.keep(replace(STATE, models=["after"]))
        assert (found := state.read_state(tmp_path)) is not None
        assert found.models == ["after"]
        notes.close()
        assert state.read_state(tmp_path) is None

    with running(happening):
        asyncio.run(run())


def test_a_stack_stops_even_if_its_state_cannot_be_removed(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()

    async def run() -> None:
        notes = StateWriter(tmp_path, recovered=lambda: None)
        notes.keep(STATE)
        notes.close()

    asyncio.run(run())
