"""A version that one worker can't load and another serves: it serves, and a warning names the worker that lacks it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import Route
from shared.queue import keys, model_routes
from shared.queue.lua import Script, Scripts
from tests.support.followers import Followers
from tests.support.registries import MODEL, MlflowStore
from worker.models.errors import ModelUnavailable

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

ONE, TWO = VersionNumber("1"), VersionNumber("2")
MORNING, EVENING = "morning", "evening"


class Clock:
    """A clock that stands until it is put forward."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follow(followers: Followers, clock: Clock) -> Callable[[str], "RegistryFollower"]:
    """Make a worker's follower."""
    return lambda worker: followers.make(worker=worker, poll=0.05, monotonic=clock)


def signs(client: redis.Redis, *workers: str) -> None:
    """These workers serve the model, and no others."""
    client.delete(keys.workers(MODEL))
    for worker in workers:
        Scripts(client).run(Script.SIGN, (keys.workers(MODEL),), worker)


def route_in(client: redis.Redis) -> Route:
    route = model_routes.read(client, MODEL)
    assert route is not None
    return route


@pytest.fixture
def both(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[str], "RegistryFollower"]
) -> "tuple[VersionKey, RegistryFollower, RegistryFollower]":
    """Version 1, and the morning's and the evening's worker, which serve it."""
    first = mlflow_store.register("champion")
    morning, evening = follow(MORNING), follow(EVENING)
    for follower in (morning, evening):
        follower.refresh()
    signs(redis_client, MORNING, EVENING)
    return first, morning, evening


@pytest.fixture
def hidden(mlflow_store: MlflowStore) -> Path:
    """Files of version 2, which are moved there and back to break and mend it."""
    return mlflow_store.directory / "hidden"


def test_a_version_that_another_worker_serves_goes_on_serving(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    both: "tuple[VersionKey, RegistryFollower, RegistryFollower]",
    clock: Clock,
    hidden: Path,
) -> None:
    first, morning, evening = both
    second = mlflow_store.register("champion")
    files = mlflow_store.files(2)
    morning.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}, "the evening's worker has not loaded it yet"
    files.rename(hidden)
    evening.refresh()
    assert route_in(redis_client).failed.keys() == {TWO}
    morning.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    for _ in range(3):
        evening.refresh()
        morning.refresh()
        route = route_in(redis_client)
        assert (route.aliases, route.versions[TWO].key) == ({"champion": TWO}, second)
        [warning] = route.versions[TWO].warnings
        assert warning.startswith(f"worker {EVENING} can't load it: ")
        assert not evening.wait_until_followed(longest=timedelta(0)), "it would fail the version's images"
    assert morning.wait_until_followed(longest=timedelta(0))
    # Nobody else serves: then the version before is better than none.
    signs(redis_client)
    evening.refresh()
    route = route_in(redis_client)
    assert (route.aliases, route.versions[ONE].key, route.failed.keys()) == ({"champion": ONE}, first, {TWO})
    assert evening.wait_until_followed(longest=timedelta(0))
    hidden.rename(files)
    clock.seconds += 600
    signs(redis_client, EVENING)
    evening.refresh()
    route = route_in(redis_client)
    assert (route.aliases, route.failed, route.versions[TWO].warnings) == ({"champion": TWO}, {}, ())


def test_a_worker_that_gets_an_image_of_what_others_serve_leaves_the_model_at_once(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    both: "tuple[VersionKey, RegistryFollower, RegistryFollower]",
    hidden: Path,
) -> None:
    first, morning, evening = both
    second = mlflow_store.register("champion")
    morning.refresh()
    mlflow_store.files(2).rename(hidden)
    evening.refresh()
    morning.refresh()
    # The version serves, and the evening's worker has not seen that yet.
    assert route_in(redis_client).aliases == {"champion": TWO}
    assert evening.wait_until_followed(longest=timedelta(0))
    assert evening.leaves_to_others(second)
    assert not morning.leaves_to_others(second), "it was loaded there"
    assert not evening.leaves_to_others(first), "it is loaded here"
    evening.refresh()
    assert not evening.wait_until_followed(longest=timedelta(0))
    signs(redis_client, EVENING)
    assert not evening.leaves_to_others(second), "there is nobody to leave it to"


def test_an_image_that_asks_for_a_version_by_its_number_goes_to_whoever_may_load_it(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    both: "tuple[VersionKey, RegistryFollower, RegistryFollower]",
    clock: Clock,
    hidden: Path,
) -> None:
    _, morning, evening = both
    second = mlflow_store.register()
    files = mlflow_store.files(2)
    files.rename(hidden)
    for follower in (evening, morning):
        follower.refresh()  # nobody loads it: no alias names it
        assert not follower.leaves_to_others(second), "it was not tried"
        with pytest.raises(ModelUnavailable):
            follower.loaded(second)
    assert evening.leaves_to_others(second)
    assert not morning.leaves_to_others(second), "the evening's can't load it either: somebody has to say so"
    for follower in (morning, evening):
        follower.refresh()
        assert follower.wait_until_followed(longest=timedelta(0)), "it goes on with what else waits"
    hidden.rename(files)
    clock.seconds += 600
    redis_client.delete(keys.unable_workers(MODEL, second))  # a minute has passed
    assert not morning.leaves_to_others(second), "it is tried again first"
    assert morning.loaded(second)


def test_a_worker_that_can_load_the_version_again_serves_it(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    follow: Callable[[str], "RegistryFollower"],
    clock: Clock,
    hidden: Path,
) -> None:
    mlflow_store.register("champion")
    morning, evening = follow(MORNING), follow(EVENING)
    morning.refresh()
    signs(redis_client, MORNING)
    mlflow_store.register("champion")
    morning.refresh()
    mlflow_store.files(2).rename(hidden)
    evening.refresh()
    assert not evening.wait_until_followed(longest=timedelta(0))
    assert len(route_in(redis_client).versions[TWO].warnings) == 1
    hidden.rename(mlflow_store.files(2))
    clock.seconds += 600
    evening.refresh()
    assert evening.wait_until_followed(longest=timedelta(0))
    assert route_in(redis_client).versions[TWO].warnings == ()
