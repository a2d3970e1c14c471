"""The `darkroom` command on real processes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import Phase, running_stack
from tests.support.program_forks import Forked
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

ROLES = {"api", "predict", "record", "webhooks", "beat", "flower", "redis", "postgres", "mlflow"}


def test_up_on_a_running_stack_says_where_it_runs(stack: "Stack") -> None:
    said = stack.up()
    assert said.startswith("Already running.")
    status = stack.status()
    assert status["mlflow"]["url"] in said
    for where in (stack.url, f"{stack.url}/docs", status["flower"]["url"]):
        assert where in said
        assert httpx.get(where, follow_redirects=True).status_code == 200
    assert "The API asks for no key: it is for this machine alone." in said
    assert "Webhooks may call this machine (127.0.0.0/8); elsewhere only public addresses are called." in said


def test_the_curl_line_that_up_prints_predicts_its_image(stack: "Stack") -> None:
    line = next(line.strip() for line in stack.up().splitlines() if line.strip().startswith("curl "))
    label = re.search(r"/(\d)-\d+\.png", line)
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
    assert label is not None
    assert f'"predicted_class":"{label[1]}"' in done.stdout


def test_status_has_every_role_with_live_pids(stack: "Stack") -> None:
    status = stack.wait_until_ready()
    assert set(status) == ROLES | {"supervisor"}
    assert all(role["pids"] and all(map(psutil.pid_exists, role["pids"])) for role in status.values())
    assert status["api"]["url"] == stack.url
    assert len(status["predict"]["pids"]) == stack.predict_workers


def test_everything_listens_on_loopback_or_a_private_socket(stack: "Stack") -> None:
    pids = [pid for role in stack.status().values() for pid in role["pids"]]
    listening = [c for pid in pids for c in psutil.Process(pid).net_connections("inet") if c.status == "LISTEN"]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    sockets = Path(stack.status()["redis"]["url"].removeprefix("unix://")).parent
    # Others may pass (root's Postgres runs as another user), never list, and the sockets are their owners' alone.
    assert sockets.stat().st_mode & 0o066 == 0


def test_submit_predicts_held_out_images(stack: "Stack") -> None:
    images = stack.images[::40]
    lines = stack.darkroom("submit", "--wait", *map(str, images)).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(map(str, images))
    right = [line.split()[2:4] == ["succeeded", image.name[0]] for line, image in zip(lines, images, strict=True)]
    assert sum(right) >= len(images) - 1  # it is right in 99%


def test_submit_without_wait_prints_id_and_status(stack: "Stack") -> None:
    file, id, status, *_ = stack.darkroom("submit", str(stack.images[0])).stdout.split()
    assert file == str(stack.images[0])
    assert status in ("starting", "succeeded")
    assert httpx.get(f"{stack.url}/v1/predictions/{id}").json()["id"] == id


def test_submit_prints_failures_in_a_line_each_and_exits_1(stack: "Stack", tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    done = stack.darkroom("submit", "--wait", str(text), str(tmp_path / "none.png"), str(stack.images[0]), expect=1)
    assert [line.split()[1] for line in done.stdout.splitlines()[:2]] == ["not", "not"]
    assert "succeeded" in done.stdout.splitlines()[2]
    assert "Traceback" not in done.stdout + done.stderr
    unknown = stack.darkroom("submit", "--model", "nope", str(stack.images[0]), expect=1)
    assert "nope" in unknown.stdout


def test_demo_on_a_running_stack_leaves_it_running(stack: "Stack") -> None:
    before = stack.status()
    said = stack.darkroom("demo").stdout
    accuracy = re.search(r"accuracy\s+([\d.]+)%", said)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97
    assert re.search(r"from the cache\s+20%", said)
    assert all(word in said for word in ("throughput", "latency p50", "latency p99"))
    assert stack.status() == before


@pytest.mark.parametrize(
    "role", ["redis", "postgres", "api", "predict", "record", "webhooks", "beat", "flower", "mlflow"]
)
def test_a_killed_process_is_restarted_and_nothing_is_lost(stack: "Stack", role: str) -> None:
    before = stack.status()[role]
    killed = before["pids"]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not set(stack.pids(role)) & set(killed), what="its end is seen")
    back = stack.wait_until_ready()[role]
    assert len(back["pids"]) == len(killed)
    assert not set(back["pids"]) & set(killed)
    assert (back["url"], back["metrics_urls"]) == (before["url"], before["metrics_urls"])
    assert "succeeded" in stack.darkroom("submit", "--wait", str(stack.images[7])).stdout


def test_audit_finds_nothing_after_the_tests_before(stack: "Stack") -> None:
    assert "All is well" in stack.darkroom("audit").stdout
    assert "newest schema" in stack.darkroom("migrate").stdout


def test_a_role_that_does_not_start_is_named_with_the_end_of_its_log(make_stack: Callable[..., "Stack"]) -> None:
    for seconds in (4, 16, 64):
        nowhere = {"DARKROOM_REGISTRY_URL": "http://127.0.0.1:1", "DARKROOM_LOCAL_START_TIMEOUT": str(seconds)}
        stack = make_stack(environment=nowhere, forked=Forked.ALL)
        done = stack.darkroom("up", "--detach", "--port", str(stack.port), "--model", "other", expect=1)
        assert f"Not everything is ready after {seconds} s" in done.stderr
        if f"The end of {stack.home}/logs/predict.log:" in done.stderr:
            break  # on a slow machine the worker had not been started yet
    assert "mlflow: http://127.0.0.1:1/api/2.0/mlflow/registered-models/search" in done.stderr
    assert "does not answer" in done.stderr
    assert f"The end of {stack.home}/logs/predict.log:" in done.stderr
    assert "darkroom down" in done.stderr
    assert "Traceback" not in done.stderr.splitlines()[0]


def test_a_foreground_stack_ends_with_its_terminal_or_supervisor(
    stack: "Stack", make_stack: Callable[..., "Stack"]
) -> None:
    # Only what starts in a second: the stores.
    other = make_stack(environment=stack.registry_environment)

    def up() -> "subprocess.Popen[bytes]":
        arguments = ["-m", "cli.main", "up", "--port", str(other.port), "--model", "none"]
        return subprocess.Popen([sys.executable, *arguments], env=other.environment, stdout=subprocess.DEVNULL)

    def running() -> set[int]:
        def ready() -> set[str]:
            state = running_stack(other.home)
            return {one.role for one in state.programs if one.phase is Phase.READY} if state else set()

        until(lambda: ready() >= {"redis", "postgres"}, what="its stores are ready")
        return {process.pid for process in other.state.processes()}

    def gone(pids: set[int]) -> bool:
        return until(lambda: not any(map(ProcessIdentity.of, pids)), what="all have ended")

    with up() as terminal:
        pids = running()
        terminal.kill()
    assert gone(pids)
    with up() as terminal:
        pids = running()
        supervisor = psutil.Process(next(iter(pids))).ppid()
        os.kill(supervisor, signal.SIGKILL)
        assert gone(pids)
        terminal.wait(timeout=LIMIT)
    with up() as terminal:
        pids = running()
        terminal.send_signal(signal.SIGINT)
        terminal.wait(timeout=LIMIT)
    assert gone(pids)
