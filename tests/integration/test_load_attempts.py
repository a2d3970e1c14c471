"""A version whose loading ends its process is not tried for ever; others that load beside it are not blamed."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.queue import keys, model_routes
from tests.support.registries import METADATA, MODEL, MlflowStore
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, until
from tests.support.workers import Worker
from worker.models.errors import ModelUnavailable
from worker.models.versions import load_attempts
from worker.models.versions.load_attempts import MOST, LoadAttempts, LoadingGate
from worker.process.exit_statuses import STUCK_EXIT

BROKEN = ModelName("broken")
KEY = VersionKey("1-a")
LONG = timedelta(minutes=1)


def register_one_that_kills(store: MlflowStore) -> None:
    """Register a champion that kills its process while it loads."""
    import mlflow.pyfunc  # noqa: PLC0415

    class Kills(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def load_context(self, context: Any) -> None:  # noqa: ARG002  MLflow's form
            os.kill(os.getpid(), signal.SIGKILL)

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
            return model_input

    path = store.directory / "kills"
    mlflow.pyfunc.save_model(str(path), python_model=Kills(), metadata=METADATA, pip_requirements=["numpy"])
    store.client.create_registered_model(BROKEN)
    version = store.client.create_model_version(BROKEN, path.as_uri(), run_id="f" * 32)
    store.client.set_registered_model_alias(BROKEN, "champion", version.version)


@pytest.mark.slow
def test_a_version_that_kills_its_process_is_given_up_after_three_and_other_models_serve(
    begin: Callable[..., Worker], redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    mlflow_store.register("champion")
    register_one_that_kills(mlflow_store)
    settings = {"redis_url": redis_server.url, "registry_url": mlflow_store.url, "registry_poll": "1"}
    for _ in range(3):
        assert begin("predict", **settings).wait_for_end() == -signal.SIGKILL
    worker = begin("predict", **settings)
    assert "3 times" in worker.wait_until_said("version_failed")["reason"]
    worker.wait_until_said("model_served")
    until(lambda: redis_client.zcard(keys.workers(MODEL)) or not worker.lives, what="it serves")
    route = model_routes.read(redis_client, BROKEN)
    assert route is not None
    assert "loading it ended the worker process 3 times" in next(iter(route.failed.values()))


def end_processes(client: redis.Redis, count: int) -> None:
    """Leave attempts as processes do that were killed."""
    place = keys.load_attempts(MODEL, KEY, "here")
    for number in range(count):
        client.hset(place, f"dead{number}", f"1000 {2**22 - 1 - number} 123 {Path('/proc/self/ns/pid').readlink()}")


def attempts(
    client: redis.Redis, gate: LoadingGate | None = None, *, longest: timedelta = timedelta(minutes=1)
) -> LoadAttempts:
    return LoadAttempts(client, model=MODEL, host="here", gate=gate or LoadingGate(), longest=longest)


def test_loading_that_takes_too_long_ends_its_process_and_counts(redis_client: redis.Redis) -> None:
    for ended in range(1, MOST + 1):
        child = os.fork()
        if not child:
            with attempts(redis_client, longest=timedelta(seconds=0.1)).attempt(KEY):
                threading.Event().wait()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == STUCK_EXIT
        assert redis_client.hlen(keys.load_attempts(MODEL, KEY, "here")) == ended
    with pytest.raises(ModelUnavailable, match="3 times"), attempts(redis_client).attempt(KEY):
        pass


def test_no_two_attempts_have_a_name_in_common(redis_client: redis.Redis) -> None:
    place, names = keys.load_attempts(MODEL, KEY, "here"), []
    for _ in range(3):
        with attempts(redis_client).attempt(KEY):
            names += redis_client.hkeys(place)
    assert len(set(names)) == len(names) == 3


def test_a_version_that_loads_at_last_is_no_longer_suspected(redis_client: redis.Redis) -> None:
    end_processes(redis_client, 2)
    with attempts(redis_client).attempt(KEY):
        assert redis_client.hlen(keys.load_attempts(MODEL, KEY, "here")) == 3
    assert not redis_client.exists(keys.load_attempts(MODEL, KEY, "here"))
    end_processes(redis_client, 3)
    with pytest.raises(ModelUnavailable, match="ended the worker process 3 times"), attempts(redis_client).attempt(KEY):
        pass


def test_an_attempt_that_raises_or_is_stopped_ended_no_process(redis_client: redis.Redis) -> None:
    for _ in range(4):
        with pytest.raises(OSError, match="no file"), attempts(redis_client).attempt(KEY):
            raise OSError("no file")
    stopped = attempts(redis_client)
    with stopped.attempt(KEY):
        stopped.forget()
        assert not redis_client.exists(keys.load_attempts(MODEL, KEY, "here"))


def test_what_a_stopping_process_forgot_is_not_written_again_while_it_goes_on_loading(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stop may take longer than the pause between two renewals, and its end would count."""
    monkeypatch.setattr(load_attempts, "BEATS", timedelta(milliseconds=1))
    renewals = threading.Semaphore(0)
    renew = LoadAttempts._write

    def counted(self: LoadAttempts, place: str, name: str) -> None:
        renew(self, place, name)
        renewals.release()

    monkeypatch.setattr(LoadAttempts, "_write", counted)
    stopped = attempts(redis_client)
    with stopped.attempt(KEY):
        stopped.forget()
        for _ in range(3):
            assert renewals.acquire(timeout=LIMIT)
        assert not redis_client.exists(keys.load_attempts(MODEL, KEY, "here"))


def test_many_processes_that_load_at_once_suspect_nothing(redis_client: redis.Redis) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(attempts(redis_client).attempt(KEY))


def test_what_loads_while_something_else_ends_the_process_is_not_why(redis_client: redis.Redis) -> None:
    gate = LoadingGate()
    others = [LoadAttempts(redis_client, model=ModelName(name), host="here", gate=gate, longest=LONG) for name in "ab"]
    with others[0].attempt(KEY), others[1].attempt(KEY):
        gate.acquit()
        assert not redis_client.keys(keys.load_attempts(ModelName("*"), KEY, "here"))


def test_of_versions_that_load_in_a_process_only_the_one_that_takes_too_long_is_blamed(
    redis_client: redis.Redis,
) -> None:
    child = os.fork()
    if not child:
        gate = LoadingGate()
        other = LoadAttempts(redis_client, model=BROKEN, host="here", gate=gate, longest=LONG)
        with other.attempt(KEY), attempts(redis_client, gate, longest=timedelta(seconds=0.1)).attempt(KEY):
            threading.Event().wait()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == STUCK_EXIT
    assert redis_client.hlen(keys.load_attempts(MODEL, KEY, "here")) == 1
    assert not redis_client.exists(keys.load_attempts(BROKEN, KEY, "here"))
