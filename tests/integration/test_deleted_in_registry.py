"""What is deleted in the registry by a slip goes on serving, as long as a worker has it loaded, and says so."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis

from shared.domain.identifiers import VersionNumber
from shared.domain.model_route import Gone, Route
from shared.queue import keys, model_routes
from shared.queue.lua import Script, Scripts
from shared.settings import Queue
from tests.support.followers import Followers
from tests.support.registries import MODEL, MlflowStore
from worker.models.errors import ModelUnavailable
from worker.models.registry.registry_snapshot import NotRegistered
from worker.upkeep.unserved_models import UnservedModels

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

ONE, TWO = VersionNumber("1"), VersionNumber("2")
IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def follow(followers: Followers) -> Callable[[], "RegistryFollower"]:
    return partial(followers.make, poll=0.05)


def route_in(client: redis.Redis) -> Route:
    route = model_routes.read(client, MODEL)
    assert route is not None
    return route


def serves(client: redis.Redis, worker: str) -> None:
    """A worker gives a sign of life."""
    Scripts(client).run(Script.SIGN, (keys.workers(MODEL),), worker)


def delete(store: MlflowStore, what: str) -> None:
    match what:
        case "model":
            store.client.delete_registered_model(MODEL)
        case "renamed model":
            store.client.rename_registered_model(MODEL, "tints")
        case "version":
            store.client.delete_model_version(MODEL, ONE)
        case "alias":
            store.client.delete_registered_model_alias(MODEL, "champion")


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ("model", Gone.MODEL),
        ("renamed model", Gone.MODEL),
        ("version", Gone.VERSION),
        ("alias", Gone.ALIAS),
    ],
)
def test_a_champion_that_is_deleted_goes_on_serving_until_there_is_another(
    what: str,
    gone: Gone,
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    follow: Callable[[], "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    delete(mlflow_store, what)
    for _ in range(2):
        follower.refresh()
    route = route_in(redis_client)
    assert model_routes.names(redis_client) == [MODEL]
    assert (route.aliases, route.gone, route.versions[ONE].key) == ({"champion": ONE}, {ONE: gone}, key)
    assert route.versions[ONE].labels == ("dark", "light")
    assert len(follower.loaded(key).predict([IMAGE])) == 1
    said = [record for record in caplog.records if record.getMessage() == "served_version_gone"]
    [notice] = route.notices()
    assert [record.__dict__["reason"] for record in said] == [notice]
    assert "goes on serving" in notice
    another = mlflow_store.register("champion")
    follower.refresh()
    route = route_in(redis_client)
    assert (route.versions[route.aliases["champion"]].key, route.gone) == (another, {})


def test_a_challenger_ends_with_its_alias(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    mlflow_store.register("challenger")
    follower = follow()
    follower.refresh()
    mlflow_store.client.delete_model_version(MODEL, TWO)
    follower.refresh()
    assert (route_in(redis_client).aliases, route_in(redis_client).gone) == ({"champion": ONE}, {})


def test_retiring_ends_what_was_deleted(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    delete(mlflow_store, "alias")
    follower.refresh()
    model_routes.retire(redis_client, MODEL)
    follower.refresh()
    model_routes.restore(redis_client, MODEL)
    follower.refresh()
    assert route_in(redis_client).aliases == {}


def test_a_worker_started_after_a_champions_alias_was_deleted_serves_it(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    key = mlflow_store.register("champion")
    follow().refresh()
    delete(mlflow_store, "alias")
    another = follow()
    another.refresh()
    assert route_in(redis_client).gone == {ONE: Gone.ALIAS}
    assert another.loaded(key).predict([IMAGE])


@pytest.mark.parametrize("what", ["model", "version"])
def test_a_worker_started_after_the_deletion_leaves_the_work_to_those_that_have_it_loaded(
    what: str, mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    key = mlflow_store.register("champion")
    first = follow()
    first.refresh()
    serves(redis_client, "first")
    delete(mlflow_store, what)
    first.refresh()
    published = route_in(redis_client)
    another = follow()
    another.refresh()
    assert not another.wait_until_followed(longest=timedelta(0))
    assert route_in(redis_client) == published
    with pytest.raises(ModelUnavailable):
        another.loaded(key)
    mlflow_store.register("champion")
    another.refresh()
    assert another.wait_until_followed(longest=timedelta(0))


def test_a_deleted_models_route_is_withdrawn_once_nobody_has_it_loaded(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    follow().refresh()
    delete(mlflow_store, "model")
    another = follow()
    for _ in range(2):
        with pytest.raises(NotRegistered):
            another.refresh()
    assert model_routes.names(redis_client) == []


def test_a_deleted_versions_route_is_withdrawn_by_a_sweep_soon_after_its_last_worker(
    mlflow_store: MlflowStore, redis_client: redis.Redis, follow: Callable[[], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    delete(mlflow_store, "version")
    follower.refresh()
    sweeps = UnservedModels(redis_client, settings=Queue())
    sweeps.sweep()
    assert model_routes.names(redis_client) == [MODEL]
    since = int(redis_client.get(keys.unserved(MODEL)) or 0)
    redis_client.set(keys.unserved(MODEL), since - 6_000_000, ex=60)
    sweeps.sweep()
    assert model_routes.names(redis_client) == []
