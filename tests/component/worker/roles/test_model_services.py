"""Which models a worker follows and leaves, as they are registered, retired and restored."""

from typing import Any

import pytest
import redis

from shared.domain.identifiers import ANYONE, BatchId, ModelName, new_uuid7
from shared.queue import bells, keys, model_routes
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, Scripts
from shared.queue.producer.batches import Opening
from shared.settings import Queue
from worker.models.registry.registry_snapshot import RegistrySnapshot
from worker.roles.model_services import LEFT_AFTER, ModelServices

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


class Chosen:
    """The services of a process, none of them real, and those that were made."""

    def __init__(self, client: redis.Redis) -> None:
        self.made: list[Service] = []
        self.clock = Clock()

        def make(model: ModelName) -> Any:
            self.made.append(Service(client, model))
            return self.made[-1]

        self._services = ModelServices(client, make=make, is_ending=lambda: False, monotonic=self.clock)

    def read(self) -> None:
        """Let it know what the registry has."""
        self._services.choose(REGISTERED, names=None)

    def after(self, seconds: float) -> None:
        """Let it read the registry so much later."""
        self.clock.now += seconds
        self.read()


@pytest.fixture
def chosen(redis_client: redis.Redis) -> Chosen:
    """The services of a process that has read the registry."""
    made = Chosen(redis_client)
    made.read()
    return made


def test_a_retired_model_is_left_only_once_no_gateway_takes_images_for_it(
    chosen: Chosen, redis_client: redis.Redis
) -> None:
    """An image that a gateway accepts in the second until it knows would wait for ten minutes, and fail."""
    [service] = chosen.made
    model_routes.retire(redis_client, MODEL)
    chosen.read()
    chosen.after(LEFT_AFTER.total_seconds() / 2)
    assert not service.stopped
    chosen.after(LEFT_AFTER.total_seconds())
    assert service.stopped


def test_a_model_that_was_restored_and_retired_again_is_retired_anew(chosen: Chosen, redis_client: redis.Redis) -> None:
    [service] = chosen.made
    model_routes.retire(redis_client, MODEL)
    chosen.read()
    model_routes.restore(redis_client, MODEL)
    chosen.read()
    model_routes.retire(redis_client, MODEL)
    chosen.after(LEFT_AFTER.total_seconds())
    assert not service.stopped


def test_a_retired_model_is_not_left_while_a_bulk_upload_for_it_is_read(
    chosen: Chosen, redis_client: redis.Redis
) -> None:
    """The upload goes on with the model that it began with, and between two of its images no lane has any."""
    [service] = chosen.made
    scripts, id = Scripts(redis_client), BatchId(new_uuid7())
    opening = Opening(id=id, owner=ANYONE, model=MODEL, metadata={}, base_url="")
    names = (keys.batch(id), "", keys.batches(ANYONE))
    scripts.run(Script.OPEN_BATCH, names, id, ANYONE, opening.request(), opening.lane, "")
    model_routes.retire(redis_client, MODEL)
    chosen.read()
    chosen.after(LEFT_AFTER.total_seconds())
    assert not service.stopped
    scripts.run(Script.CLOSE_BATCH, (keys.batch(id),), id, 0, opening.request(), bells.record_message())
    chosen.read()
    assert service.stopped


def test_a_restored_model_is_served_anew_only_once_the_service_before_has_ended(
    chosen: Chosen, redis_client: redis.Redis
) -> None:
    """It would take the new one's registration and queue away, and both would be in one process' lanes."""
    [service] = chosen.made
    model_routes.retire(redis_client, MODEL)
    chosen.read()
    chosen.after(LEFT_AFTER.total_seconds())
    model_routes.restore(redis_client, MODEL)
    chosen.read()
    assert chosen.made == [service]
    service.has_ended = True
    chosen.read()
    assert chosen.made != [service]
