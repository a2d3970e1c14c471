"""Log a model in a run of its own and register it, once: a kill at any line leaves nothing that stays unused."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cli.registry import experiment_id
from cli.stack.supervisor.identity import ProcessIdentity
from shared.registry.logged_models import models_of_run, version_of_logged

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CONTENT: Final = "darkroom.content"
"""A run's tag: the digest of what is logged in it."""
LOGGED_BY: Final = "darkroom.logged_by"
"""A run's tag: the machine and the process that log in it."""
ABANDONED: Final = timedelta(days=1)
"""The age from which on an unfinished run of another machine counts as killed: its processes are not seen here."""


def register_once(
    client: "MlflowClient",
    name: str,
    content: Mapping[str, Any],
    log: Callable[[], object],
    *,
    may_be_registered: bool = True,
) -> tuple[str, bool]:
    """Return the number of the version of `name` that has this content, and whether it was registered only now.

    `log` logs a model in the run that is active. Without `may_be_registered` a version that is there is not enough, as
    of random weights, which are others each time. Raises what MLflow and `log` raise.

    Safe to repeat, also after a kill at any line. A run has the digest of the content from its beginning and is
    finished when all is logged. What was killed before that, the next call deletes (on another machine a day later);
    what was killed after it, the next call registers. What fails or is interrupted deletes its run itself.
    """
    import mlflow  # noqa: PLC0415  slow

    experiment = experiment_id(client, name)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    for run in client.search_runs([experiment], f"tags.`{CONTENT}` = '{digest}'"):
        model = _model(client, run)
        if run.info.status == "FINISHED" and model is not None:
            number, is_new = version_of_logged(client, name, f"models:/{model}")
            if is_new or may_be_registered:
                return number, is_new
        elif run.info.status != "RUNNING" or _is_killed(run):
            _delete(client, run.info.run_id)
    tags = {CONTENT: digest, LOGGED_BY: process_words(os.getpid())}
    begun: Run | None = None
    try:
        with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as begun:
            log()
        model = _model(client, client.get_run(begun.info.run_id))
    except BaseException:
        if begun is not None:
            with contextlib.suppress(Exception):
                _delete(client, begun.info.run_id)
        raise
    return version_of_logged(client, name, f"models:/{model}")


def _model(client: "MlflowClient", run: "Run") -> str | None:
    """Return the id of the run's model; those that could not be logged are deleted once the run has another."""
    logged = models_of_run(client, run)
    ready = [one.model_id for one in logged if one.status == "READY"]
    for one in logged if ready else []:
        if one.status != "READY":
            client.delete_logged_model(one.model_id)
    return ready[-1] if ready else None


def _delete(client: "MlflowClient", run_id: str) -> None:
    """Delete a run and the models logged in it; `mlflow gc` frees their files. Safe to repeat."""
    # The run last: killed in between, the next call finds it.
    for one in models_of_run(client, client.get_run(run_id)):
        client.delete_logged_model(one.model_id)
    client.delete_run(run_id)


def process_words(pid: int) -> str:
    """Return this machine, a pid and when its process began: the pid alone may be another process' later."""
    process = ProcessIdentity.of(pid)
    return f"{os.uname().nodename} {pid} {process.began if process else 'ended'}"


def _is_killed(run: "Run") -> bool:
    """Tell whether the process that logged in a run is gone; another machine's counts as gone once it is ABANDONED."""
    told = run.data.tags[LOGGED_BY]
    machine, pid, _ = told.split()
    if machine != os.uname().nodename:
        return bool(time.time() - run.info.start_time / 1000 > ABANDONED.total_seconds())
    return told != process_words(int(pid))
