"""Which models a worker follows and leaves, as they are registered, retired and restored."""

from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.domain.identifiers import ANYONE, BatchId, ModelName, new_uuid7
from shared.queue import bells, keys, model_routes
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, Scripts
from shared.queue.producer.batches import Opening
from shared.settings import Queue
from tests.support.deferred_imports import deferred
from worker.models.registry.registry_snapshot import RegistrySnapshot
from worker.process.worker_process import WorkerProcess

predict = deferred("worker.roles.predict")

pytestmark = pytest.mark.slow  # importing torch

MODEL = ModelName("m")
REGISTERED = {MODEL: RegistrySnapshot(aliases={"champion": "1"})}  # type: ignore[dict-item]


class Service:
    """In place of a model's service, whose `end` takes as long as the test says."""

    def __init__(self, client: redis.Redis, model: ModelName) -> None:
        self.parts = self
        self.lanes = Lanes(client, model=model, consumer="here", settings=Queue())
        self.stopped = self.has_ended = False

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True

    @property
    def follower(self) -> Any:
        return self

    def wake(self) -> None:
        pass


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Role:
    """A role that makes no real services, and what it made."""

    def __init__(self, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Service] = []
        self.clock = Clock()

        def service(_: Any, model: ModelName) -> Service:
            self.made.append(Service(client, model))
            return self.made[-1]

        monkeypatch.setattr(predict.PredictRole, "_service", service)
        process = WorkerProcess(registry=CollectorRegistry(), client=client, stopping=lambda: False)
        self._role = predict.PredictRole(process, slots=1, monotonic=self.clock)
        self._role._names = None  # all that are registered

    def read(self) -> None:
        """Let it know what the registry has."""
        self._role._choose_models(REGISTERED)

    def after(self, seconds: float) -> None:
        """Let it read the registry so much later."""
        self.clock.now += seconds
        self.read()


@pytest.fixture
def role(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Role:
    """A role that has read the registry."""
    made = Role(redis_client, monkeypatch)
    made.read()
    return made


def test_a_retired_model_is_left_only_once_no_gateway_takes_images_for_it(
    role: Role, redis_client: redis.Redis
) -> None:
    """An image that a gateway accepts in the second until it knows would wait for ten minutes, and fail."""
    [service] = role.made
    model_routes.retire(redis_client, MODEL)
    role.read()
    role.after(predict.LEFT_AFTER.total_seconds() / 2)
    assert not service.stopped
    role.after(predict.LEFT_AFTER.total_seconds())
    assert service.stopped


def test_a_model_that_was_restored_and_retired_again_is_retired_anew(role: Role, redis_client: redis.Redis) -> None:
    [service] = role.made
    model_routes.retire(redis_client, MODEL)
    role.read()
    model_routes.restore(redis_client, MODEL)
    role.read()
    model_routes.retire(redis_client, MODEL)
    role.after(predict.LEFT_AFTER.total_seconds())
    assert not service.stopped


def test_a_retired_model_is_not_left_while_a_bulk_upload_for_it_is_read(role: Role, redis_client: redis.Redis) -> None:
    """The upload goes on with the model that it began with, and between two of its images no lane has any."""
    [service] = role.made
    scripts, id = Scripts(redis_client), BatchId(new_uuid7())
    opening = Opening(id=id, owner=ANYONE, model=MODEL, metadata={}, base_url="")
    names = (keys.batch(id), "", keys.batches(ANYONE))
    scripts.run(Script.OPEN_BATCH, names, id, ANYONE, opening.request(), opening.lane, "")
    model_routes.retire(redis_client, MODEL)
    role.read()
    role.after(predict.LEFT_AFTER.total_seconds())
    assert not service.stopped
    scripts.run(Script.CLOSE_BATCH, (keys.batch(id),), id, 0, opening.request(), bells.record_message())
    role.read()
    assert service.stopped


def test_a_restored_model_is_served_anew_only_once_the_service_before_has_ended(
    role: Role, redis_client: redis.Redis
) -> None:
    """It would take the new one's registration and queue away, and both would be in one process' lanes."""
    [service] = role.made
    model_routes.retire(redis_client, MODEL)
    role.read()
    role.after(predict.LEFT_AFTER.total_seconds())
    model_routes.restore(redis_client, MODEL)
    role.read()
    assert role.made == [service]
    service.has_ended = True
    role.read()
    assert role.made != [service]
