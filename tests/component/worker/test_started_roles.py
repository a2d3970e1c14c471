"""Which roles a process starts, and which packages importing each role loads."""

import subprocess
import sys

import pytest
import redis
from prometheus_client import CollectorRegistry

from worker import started_roles
from worker.process.worker_process import WorkerProcess
from worker.started_roles import NotStarted, StartedRoles

HEAVY_MODULES = ("numpy", "PIL", "torch", "torchvision", "mlflow")
BLOCKED = """
import importlib, os, sys
sys.modules |= dict.fromkeys({blocked!r})
import worker.main, worker.tasks
for module in {modules!r}:
    if (child := os.fork()) == 0:
        importlib.import_module(module)
        sys.exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("failed: " + module)
"""


def run(*modules: str, blocked: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """Import a worker's app and tasks, then each module in a fork, in an interpreter in which packages are blocked."""
    command = [sys.executable, "-W", "error", "-c", BLOCKED.format(blocked=blocked, modules=modules)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_other_roles_import_no_numpy_pillow_torch_or_mlflow() -> None:
    imported = run(
        *("celery.beat", "worker.roles.record", "worker.roles.upkeep", "worker.roles.webhooks"),
        *("worker.flower", "worker.health"),
        blocked=HEAVY_MODULES,
    )
    assert imported.returncode == 0, imported.stderr


@pytest.mark.slow  # what comes before torch takes half a second
@pytest.mark.parametrize("needed", ["numpy", "torch"])
def test_the_predict_role_imports_numpy_pillow_torch_and_mlflow(needed: str) -> None:
    imported = run("worker.roles.predict", blocked=(needed,))
    assert f"import of {needed} halted" in imported.stderr


def test_a_task_for_a_role_not_started_here_fails_and_names_the_queue() -> None:
    roles = StartedRoles(WorkerProcess(registry=CollectorRegistry(), client=redis.Redis(), stopping=lambda: False))
    with pytest.raises(NotStarted, match="-Q record"):
        _ = roles.record
    with pytest.raises(NotStarted, match="-Q webhooks"):
        _ = roles.webhooks


@pytest.mark.parametrize("queues", [["predikt"], ["celery"], ["predict.digits", "records"], ["webhook", "upkeep"]])
def test_a_queue_that_nobody_sends_to_is_no_start(queues: list[str]) -> None:
    """A slip of the pen, or no -Q at all, which is Celery's queue `celery`: such a worker would idle for ever."""
    with pytest.raises(
        SystemExit, match=r"^No queue is named .+; use -Q with predict, record, upkeep, webhooks or predict"
    ):
        started_roles.start(
            queues=queues,
            pool="solo",
            slots=1,
            stopping=lambda: False,
            consume=lambda _: None,
            consume_no_more=lambda _: None,
        )
