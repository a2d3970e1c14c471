"""The disk that a stack's home is on is full, then there is room again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from cli.stack.plan import held_out_folder
from tests.support.pictures import renewed

if TYPE_CHECKING:
    from tests.support.stack import Stack

MEBIBYTES = 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def cramped(stack: "Stack", small_disk: Path, make_stack: Callable[..., "Stack"]) -> Iterator["Stack"]:
    """A running stack whose home is on the small disk; its registry is the other stack's."""
    second = make_stack(small_disk / "home", environment=stack.registry_environment)
    shutil.copytree(held_out_folder(stack.home), held_out_folder(second.home))
    second.up()
    yield second
    # While its disk is there to say what runs.
    second.down()


def fill(disk: Path) -> Path:
    """Leave no byte free, and return what has to go for room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    assert os.statvfs(disk).f_bavail == 0
    return filler


def predict(stack: "Stack") -> httpx.Response:
    """Send an image that nobody has sent yet, and wait for what becomes of it."""
    headers = {"Content-Type": "image/png", "Prefer": "wait=10"}
    return httpx.post(
        f"{stack.url}/v1/predictions", content=renewed(stack.images[0].read_bytes()), headers=headers, timeout=60
    )


def until(happened: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < give_up, what
        time.sleep(0.2)


def test_a_full_disk_ends_nothing_for_good(cramped: "Stack", small_disk: Path) -> None:
    assert predict(cramped).json()["status"] == "succeeded"
    pids = [process.pid for process in cramped.state.processes()]
    supervisor = psutil.Process(psutil.Process(pids[0]).ppid())
    filler = fill(small_disk)
    # Redis ends with what it can't keep; Postgres is ended here, and can't begin again without room for its lock.
    os.kill(cramped.pids("postgres")[0], signal.SIGKILL)
    # What is left of the last page takes an image or two.
    until(lambda: predict(cramped).status_code == 503, "nothing more is taken")
    for _ in range(3):
        answer = predict(cramped)
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True), answer.text
    until(lambda: _ready(cramped) == 503, "readiness says that the queue is away")
    assert supervisor.is_running()
    filler.unlink()
    until(lambda: predict(cramped).status_code == 200, "there is room, and images are predicted again")
    cramped.wait_until_ready(seconds=90)
    assert _ready(cramped) == 200
    assert supervisor.is_running()
    until(lambda: cramped.darkroom("audit", expect=None).returncode == 0, "all that was accepted has its row")


def _ready(stack: "Stack") -> int:
    try:
        return httpx.get(f"{stack.url}/health/ready", timeout=30).status_code
    except httpx.TransportError:
        return 0
