"""A model is logged and registered once, whichever line its process is killed at, on a real MLflow registry.

Every second line is tried, or every fifth: a process each.
"""

import itertools
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.models import register_once as registering
from cli.models.register_once import register_once
from cli.registry import registry_client
from shared.registry import logged_models
from tests.support.deferred_imports import deferred

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

mlflow = deferred("mlflow")
entities = deferred("mlflow.entities")
# MLflow warns of its own type hints while it is imported.
pytestmark = [
    pytest.mark.xdist_group("torch"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def log() -> None:
    """Log a model as MLflow does: it is pending until its files are there."""
    client, run = mlflow.MlflowClient(), mlflow.active_run().info
    for status in (entities.LoggedModelStatus.FAILED, entities.LoggedModelStatus.READY):
        model = client.create_logged_model(run.experiment_id, name="model", source_run_id=run.run_id)
        client.log_outputs(run.run_id, [entities.LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, status)


def register(url: str, name: str, **options: bool) -> tuple[str, bool]:
    return register_once(registry_client(url), name, {"weights": "ab12"}, log, **options)


def state(url: str, name: str) -> dict[str, Any]:
    """Return what the registry has that is not deleted."""
    client = registry_client(url)
    experiment = client.get_experiment_by_name(name)
    ids = [experiment.experiment_id] if experiment else []
    models = client.search_logged_models(ids) if ids else []
    return {
        "runs": [run.info.status for run in client.search_runs(ids)],
        "models": [str(model.status) for model in models],
        "sources": [f"models:/{model.model_id}" for model in models],
        "versions": [version.source for version in client.search_model_versions(f"name='{name}'")],
    }


def end_at(place: int, end: Callable[[], object]) -> None:
    """Call `end` where the given line, counted as they are first run, begins of what logs and registers."""
    files, seen = {registering.__file__, logged_models.__file__}, set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files and frame.f_code is not log.__code__:
            return None
        line = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and line not in seen:
            seen.add(line)
            if len(seen) == place:
                end()
        return trace

    sys.settrace(trace)


def in_a_process(work: Callable[[], object]) -> int:
    """Do this in a process of its own; return its exit status, or the negative signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001  the fork must not go on as the test
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    """A registry, nothing of which is open in this process."""
    database = tmp_path / "mlflow.db"
    database.write_bytes(template.read_bytes())
    return f"sqlite:///{database}"


def repeat(url: str, name: str) -> None:
    """Register again; the registry has one run, one model and one version then."""
    assert register(url, name)[0] == "1"
    found = state(url, name)
    assert (found["runs"], found["models"]) == (["FINISHED"], ["READY"])
    assert found["versions"] == found["sources"]


def test_whichever_line_it_is_killed_at_the_next_call_leaves_one_run_one_model_and_one_version(url: str) -> None:
    # What it opens once and compiles of SQL is most of its time: each process has it, and connections of its own.
    assert register(url, "dogs")[0] == "1"
    client = registry_client(url)
    for store in (client._tracking_client.store, client._get_registry_client().store):
        store.engine.dispose()

    def killed(place: int) -> None:
        end_at(place, lambda: os.kill(os.getpid(), signal.SIGKILL))
        register(url, f"pets-{place}")

    places = itertools.takewhile(
        lambda place: in_a_process(lambda: killed(place)) == -signal.SIGKILL, itertools.count(1, 2)
    )
    last = max(places)
    assert last > 30, "nothing was killed"
    for place in range(1, last + 1, 2):
        repeat(url, f"pets-{place}")


def test_whichever_line_it_is_interrupted_at_nothing_is_left_that_the_next_call_does_not_use(url: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    for place in range(2, 200, 5):
        end_at(place, interrupt)
        try:
            register(url, f"pets-{place}")
            break
        except KeyboardInterrupt:
            sys.settrace(None)
        assert set(state(url, f"pets-{place}")["runs"]) <= {"FINISHED"}
        repeat(url, f"pets-{place}")
    sys.settrace(None)
    assert place > 30, "nothing was interrupted"


def test_what_fails_leaves_nothing(mlflow_store: "MlflowStore") -> None:
    def fail() -> None:
        log()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        register_once(registry_client(mlflow_store.url), "pets", {}, fail)
    assert state(mlflow_store.url, "pets") == {"runs": [], "models": [], "sources": [], "versions": []}


@pytest.mark.parametrize("machine", [os.uname().nodename, "another"])
def test_what_another_process_logs_meanwhile_is_left_alone(mlflow_store: "MlflowStore", machine: str) -> None:
    client = registry_client(mlflow_store.url)

    def both() -> None:
        run = mlflow.active_run().info.run_id
        _, process = registering.process_words(os.getppid()).split(maxsplit=1)
        client.set_tag(run, registering.LOGGED_BY, f"{machine} {process}")
        mlflow.end_run("RUNNING")
        assert register(mlflow_store.url, "pets") == ("1", True)
        mlflow.start_run(run)
        log()

    assert register_once(client, "pets", {"weights": "ab12"}, both) == ("2", True)
    assert state(mlflow_store.url, "pets")["runs"] == ["FINISHED"] * 2


def run_of(words: str, *, age: float = 0.0) -> Any:
    """A run that a process began so many seconds ago."""
    info = SimpleNamespace(start_time=int((time.time() - age) * 1000))
    return SimpleNamespace(data=SimpleNamespace(tags={registering.LOGGED_BY: words}), info=info)


def test_a_process_whose_pid_another_one_has_by_now_was_killed() -> None:
    assert registering._is_killed(run_of(f"{os.uname().nodename} {os.getpid()} 1"))
    for age in (0, 10 * 86_400):
        assert not registering._is_killed(run_of(registering.process_words(os.getpid()), age=age))


def test_an_unfinished_run_of_another_machine_counts_as_killed_after_a_day() -> None:
    for hours, killed in ((0, False), (23, False), (25, True)):
        assert registering._is_killed(run_of("another 1 1", age=hours * 3600)) is killed


def test_a_version_that_may_not_be_there_already_is_registered_beside_it(mlflow_store: "MlflowStore") -> None:
    assert register(mlflow_store.url, "pets") == ("1", True)
    assert register(mlflow_store.url, "pets", may_be_registered=False) == ("2", True)
    assert register(mlflow_store.url, "pets")[1] is False
    assert state(mlflow_store.url, "pets")["runs"] == ["FINISHED"] * 2
