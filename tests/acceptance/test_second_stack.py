"""A second stack beside the first: on a long path, on a disk that fills up, with the first one's registry.

Its tests follow one another on one stack, which takes long to start: it runs, its disk is full, it is stopped.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.stack.plan import held_out_folder
from cli.stack.ports import free_port
from cli.stack.supervisor.identity import ProcessIdentity
from tests.support import waiting
from tests.support.pictures import renewed
from tests.support.program_forks import Forked
from tests.support.stack import Stack
from tests.support.waiting import LIMIT

MEBIBYTES = 200


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a long path; where this user may mount one, on a small file system of its own."""
    place = tmp_path_factory.mktemp("disk") / ("long" * 30)
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "tmpfs", str(place)]
    if os.geteuid() == 0:
        subprocess.run(mount, check=False, capture_output=True)
    yield place
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def second(stack: Stack, disk: Path) -> Iterator[Stack]:
    """A running stack on that disk. A registry is not started: the other stack's holds the model already."""
    environment = {**stack.registry_environment, "FLOWER_UNAUTHENTICATED_API": ""}
    second = Stack(disk / "home", port=free_port(), environment=environment, forked=Forked.ALL)
    # The images are there too, and its workers need not wait for them.
    shutil.copytree(held_out_folder(stack.home), held_out_folder(second.home))
    try:
        second.up("--gateways", "2")
        yield second
    finally:
        # While its disk is there to say what runs.
        second.down()


def test_a_second_stack_runs_beside_the_first(stack: Stack, second: Stack) -> None:
    status = second.status()
    assert status["mlflow"] == {"url": stack.url_of("mlflow"), "pids": [], "state": "ready", "metrics_urls": []}
    assert "succeeded" in second.darkroom("submit", "--wait", str(second.images[0])).stdout
    first = stack.status()
    ours = {pid for role in first.values() for pid in role["pids"]}
    theirs = {pid for role in status.values() for pid in role["pids"]}
    assert not ours & theirs
    assert not addresses(first) & addresses(status)
    assert_flower_shows_pages_and_keeps_its_api_shut(status["flower"]["url"])


def test_its_two_gateways_share_a_port_and_their_figures_add_up(second: Stack) -> None:
    facts = second.status()["api"]
    assert facts["url"] == second.url
    assert len(set(facts["pids"])) == len(set(facts["metrics_urls"])) == 2
    before = [submissions(url) for url in facts["metrics_urls"]]
    for _ in range(40):
        assert predict(second).json()["status"] == "succeeded"
    grown = [submissions(url) - counted for url, counted in zip(facts["metrics_urls"], before, strict=True)]
    assert sum(grown) == 40
    # Each request has a connection of its own: all fall to one gateway once in 2 to the 39.
    assert all(grown)


def submissions(metrics_url: str) -> float:
    """Return how many submissions a gateway has counted."""
    text = httpx.get(metrics_url, trust_env=False).raise_for_status().text
    families = text_string_to_metric_families(text)
    return sum(one.value for family in families for one in family.samples if one.name == "darkroom_submissions_total")


def addresses(status: dict[str, dict[str, Any]]) -> set[str]:
    """Return where a stack's own programs are reached."""
    own = [facts for role, facts in status.items() if role != "mlflow"]
    return {url for facts in own for url in (facts["url"], *facts["metrics_urls"]) if url}


def assert_flower_shows_pages_and_keeps_its_api_shut(url: str) -> None:
    assert httpx.get(f"{url}/workers").status_code == 200
    answer = httpx.get(f"{url}/api/workers")
    assert answer.status_code == 401
    assert "FLOWER_UNAUTHENTICATED_API" in answer.text


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


def predict(stack: Stack) -> httpx.Response:
    """Send an image with bytes that were never sent, and wait for its prediction."""
    headers = {"Content-Type": "image/png", "Prefer": "wait=60"}
    return httpx.post(
        f"{stack.url}/v1/predictions", content=renewed(stack.images[0].read_bytes()), headers=headers, timeout=LIMIT
    )


until = partial(waiting.until, pause=0.2)


def test_everything_recovers_from_a_full_disk(second: Stack, disk: Path) -> None:
    if not disk.is_mount():
        pytest.skip("only root can mount a small disk, and not everywhere")
    assert predict(second).json()["status"] == "succeeded"
    supervisor = psutil.Process(second.state.supervisor.pid)
    filler = fill(disk)
    # Redis ends with what it can't keep; Postgres is ended here, and can't begin again without room for its lock.
    os.kill(second.pids("postgres")[0], signal.SIGKILL)
    # What is left of the last page takes an image or two.
    until(lambda: predict(second).status_code == 503, what="nothing more is taken")
    for _ in range(3):
        answer = predict(second)
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True), answer.text
    until(lambda: _ready(second) == 503, what="readiness says that the queue is away")
    assert supervisor.is_running()
    filler.unlink()
    until(lambda: predict(second).status_code == 200, what="there is room, and images are predicted again")
    second.wait_until_ready()
    assert _ready(second) == 200
    assert supervisor.is_running()
    until(lambda: second.darkroom("audit", expect=None).returncode == 0, what="all that was accepted has its row")


def _ready(stack: Stack) -> int:
    try:
        return httpx.get(f"{stack.url}/health/ready", timeout=LIMIT).status_code
    except httpx.TransportError:
        return 0


def test_down_ends_all_of_this_stack_and_nothing_of_the_first(stack: Stack, second: Stack) -> None:
    pids = {process.pid for process in second.state.processes()}
    families = pids | {child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)}
    sockets = Path(second.url_of("redis").removeprefix("unix://")).parent
    assert second.down().startswith("Stopped")
    assert not [pid for pid in families if ProcessIdentity.of(pid)]
    assert not sockets.exists()
    assert all(role["pids"] == [] for role in second.status().values())
    stack.wait_until_ready()
