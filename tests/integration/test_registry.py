"""A worker follows the MLflow registry: a version is loaded before it serves; one that fails to load never serves.

Over 300 lines: its tests share their helpers.
"""

import gc
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
import redis

from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import Route
from shared.queue import keys, model_routes
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue, Registry
from tests.support.deferred_imports import deferred
from tests.support.followers import Followers
from tests.support.registries import METADATA, MODEL, MlflowStore
from tests.support.waiting import LIMIT, until
from worker.models.errors import ModelUnavailable
from worker.models.following.published_route import PublishedRoute
from worker.models.registry.mlflow_setup import configure_mlflow_client
from worker.models.registry.registry_snapshot import NotRegistered

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

torch = deferred("torch")
ONE, TWO, THREE = (VersionNumber(number) for number in "123")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _quiet() -> None:
    configure_mlflow_client(Registry())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follow(followers: Followers, clock: Clock) -> Callable[..., "RegistryFollower"]:
    """Make followers, as worker processes would."""
    return partial(followers.make, poll=0.05, monotonic=clock)


def route_in(client: "redis.Redis") -> Route:
    data = client.get(keys.route(MODEL))
    assert isinstance(data, bytes)
    return model_routes.parse(data)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("worker.")]


IMAGE = np.zeros((4, 4, 3), np.uint8)


def test_the_champion_is_loaded_and_then_its_route_published(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    key = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    assert [event for event in events(caplog) if event != "training_run_gone"] == ["version_loaded", "route_published"]
    assert len(follower.loaded(key).predict([IMAGE] * 3)) == 3
    route = route_in(redis_client)
    assert redis_client.smembers(keys.MODELS) == {MODEL.encode()}
    assert (route.model, route.description, route.device) == (MODEL, "Dark or light", "cpu")
    assert route.aliases == {"champion": ONE}
    assert route.versions[ONE].key == key
    assert route.versions[ONE].labels == ("dark", "light")
    assert route.versions[ONE].image["crop_size"] == [4]
    assert (route.versions[ONE].decode, route.versions[ONE].precision) == ("exact", "fp32")
    assert route.versions[ONE].agreement is None
    assert route.versions[ONE].created_at.endswith("Z")


def test_a_route_carries_every_ready_version_and_the_challenger_share(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    mlflow_store.register("challenger")
    mlflow_store.register("favourite")
    mlflow_store.client.set_registered_model_tag(MODEL, "darkroom.challenger_percent", "20")
    follow().refresh()
    route = route_in(redis_client)
    assert route.aliases == {"champion": ONE, "challenger": TWO}
    assert sorted(route.versions) == [ONE, TWO, THREE]
    assert route.challenger_percent == 20


@pytest.mark.parametrize("share", ["many", "-1", "101", "12.5", ""])
def test_an_invalid_challenger_share_counts_as_zero(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    share: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mlflow_store.register("champion")
    mlflow_store.client.set_registered_model_tag(MODEL, "darkroom.challenger_percent", share)
    follower = follow()
    follower.refresh()
    follower.refresh()
    assert route_in(redis_client).challenger_percent == 0
    assert events(caplog).count("challenger_percent_ignored") == 1


def test_promoting_changes_the_route_and_the_old_version_serves_its_entries(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    old = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    new = mlflow_store.register("champion")
    follower.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    assert follower.loaded(old).predict([IMAGE]) != follower.loaded(new).predict([IMAGE])


@pytest.mark.parametrize("breakage", ["no metadata", "wrong labels", "no files"])
def test_a_version_that_fails_to_load_never_serves_and_has_its_reason(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"], breakage: str
) -> None:
    key = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    broken = {"no metadata": {}, "wrong labels": METADATA | {"labels": ["one"]}, "no files": METADATA}[breakage]
    mlflow_store.register("champion", metadata=broken)
    if breakage == "no files":
        shutil.rmtree(mlflow_store.files(2))
    follower.refresh()
    route = route_in(redis_client)
    assert route.aliases == {"champion": ONE}
    assert list(route.failed) == [TWO]
    assert route.failed[TWO]
    assert follower.loaded(key).predict([IMAGE])
    mlflow_store.promote("champion", ONE)
    follower.refresh()
    assert route_in(redis_client).failed == {}


def test_a_tag_of_the_version_is_read_when_it_is_loaded(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"], clock: Clock
) -> None:
    mlflow_store.register("champion")
    mlflow_store.client.set_model_version_tag(MODEL, ONE, "darkroom.precision", "half")
    follower = follow()
    follower.refresh()
    assert "the tag darkroom.precision must be auto, fp32" in route_in(redis_client).failed[ONE]
    mlflow_store.client.set_model_version_tag(MODEL, ONE, "darkroom.precision", "fp32")
    clock.now = 5.1
    follower.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}


def test_a_broken_champion_beside_a_good_challenger_leaves_that_serving(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion", metadata={})
    mlflow_store.register("challenger")
    follow().refresh()
    assert route_in(redis_client).aliases == {"challenger": TWO}
    assert "no image and no labels" in route_in(redis_client).failed[ONE]


def test_a_worker_started_with_a_broken_champion_serves_the_one_before(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    key = mlflow_store.register("champion")
    follow().refresh()
    mlflow_store.register("champion", metadata={})
    another = follow()
    another.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}
    assert list(route_in(redis_client).failed) == [TWO]
    assert another.loaded(key).predict([IMAGE])


def test_a_broken_version_is_tried_again_after_pauses_that_double(
    mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"], clock: Clock
) -> None:
    key = mlflow_store.register()
    files, aside = mlflow_store.files(1), mlflow_store.directory / "aside"
    files.rename(aside)
    follower = follow()
    with pytest.raises(ModelUnavailable) as first:
        follower.loaded(key)
    aside.rename(files)
    clock.now = 4.9
    with pytest.raises(ModelUnavailable) as again:
        follower.loaded(key)
    assert str(again.value) == str(first.value)
    files.rename(aside)
    clock.now = 5.1
    with pytest.raises(ModelUnavailable):
        follower.loaded(key)
    aside.rename(files)
    clock.now = 15.0
    with pytest.raises(ModelUnavailable):
        follower.loaded(key)
    clock.now = 15.2
    assert follower.loaded(key).predict([IMAGE])


def test_a_version_no_alias_names_is_loaded_when_an_entry_needs_it(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    other = mlflow_store.register()
    follower = follow()
    follower.refresh()
    assert route_in(redis_client).versions[TWO].labels == ()
    assert follower.loaded(other).predict([IMAGE])
    follower.refresh()
    assert route_in(redis_client).versions[TWO].labels == ("dark", "light")


def test_a_recreated_model_is_distinguished_from_the_one_before(
    mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"]
) -> None:
    old = mlflow_store.register("champion")
    mlflow_store.client.delete_registered_model(MODEL)
    new = mlflow_store.register("champion")
    assert old.split("-")[0] == new.split("-")[0]
    follower = follow()
    follower.refresh()
    with pytest.raises(ModelUnavailable, match="replaced by another model"):
        follower.loaded(old)
    assert follower.loaded(new).predict([IMAGE])


@pytest.mark.parametrize("key", ["99-0123456789ab", "nonsense", ""])
def test_a_version_that_was_never_registered_is_unavailable(
    mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"], key: str
) -> None:
    mlflow_store.register("champion")
    with pytest.raises(ModelUnavailable):
        follow().loaded(VersionKey(key))


def test_the_least_recently_used_version_is_unloaded_unless_it_serves(
    mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"]
) -> None:
    champion, second, third = mlflow_store.register("champion"), mlflow_store.register(), mlflow_store.register()
    follower = follow(loaded_versions=2)
    follower.refresh()
    held = {key: weakref.ref(follower.loaded(key)) for key in (champion, second, third)}
    gc.collect()
    assert [held[key]() is not None for key in (champion, second, third)] == [True, False, True]


def test_many_threads_that_need_a_version_load_it_once(
    mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key = mlflow_store.register("champion")
    follower = follow()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(follower.loaded(key))) for _ in range(4)]
    for thread in threads:
        thread.start()
    follower.refresh()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert events(caplog).count("version_loaded") == 1


def test_a_registry_outage_changes_nothing_and_is_logged_once(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    key = mlflow_store.register("champion")
    follower = follow()
    follower.start()
    mlflow_store.break_down()
    until(lambda: "registry_unreachable" in events(caplog))
    time.sleep(0.3)
    assert events(caplog).count("registry_unreachable") == 1
    assert follower.loaded(key).predict([IMAGE])
    assert route_in(redis_client).aliases == {"champion": ONE}
    mlflow_store.come_back()
    mlflow_store.register("champion")
    until(lambda: route_in(redis_client).aliases == {"champion": TWO})
    assert events(caplog).count("registry_followed_again") == 1


def test_a_registry_that_is_down_at_the_start_is_waited_for(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    mlflow_store.break_down()
    follower = follow()
    follower.start()
    assert not redis_client.exists(keys.route(MODEL))
    mlflow_store.come_back()
    until(lambda: bool(redis_client.exists(keys.route(MODEL))))


def test_an_unreachable_registry_delays_a_worker_for_seconds_only(
    follow: Callable[..., "RegistryFollower"], caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    follow(url="http://127.0.0.1:9").start()
    assert time.monotonic() - started < LIMIT
    assert events(caplog) == ["registry_unreachable"]


def test_a_model_registered_after_the_worker_started_is_served(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    follow().start()
    assert events(caplog) == ["model_not_registered"]
    mlflow_store.register("champion")
    until(lambda: bool(redis_client.exists(keys.route(MODEL))))
    until(lambda: route_in(redis_client).aliases == {"champion": ONE})


def test_a_lost_route_is_published_again_and_an_unchanged_one_is_not(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    ahead = Route(model=MODEL, description="by a worker that is ahead", aliases={}, versions={})
    model_routes.publish(redis_client, ahead)
    follower.refresh()
    assert route_in(redis_client) == ahead
    redis_client.flushall()
    follower.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}
    model_routes.withdraw(redis_client, MODEL)
    assert model_routes.names(redis_client) == []
    follower.refresh()
    assert model_routes.names(redis_client) == [MODEL]


def test_a_version_that_serves_is_not_taken_back_by_a_worker_that_lagged_behind(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One worker waits for the other, and publishes that only after the other one has published that it serves."""
    mlflow_store.register("champion")
    ahead, behind = follow(worker="ahead"), follow(worker="behind")
    for follower, name in ((ahead, "ahead"), (behind, "behind")):
        follower.refresh()
        Lanes(redis_client, model=MODEL, consumer=name, settings=Queue()).sign_of_life()
    mlflow_store.register("champion")
    publish, aliases = PublishedRoute.publish, []

    def late(self: PublishedRoute, *arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(PublishedRoute, "publish", publish)
        ahead.refresh()
        aliases.append(route_in(redis_client).aliases)
        publish(self, *arguments, **options)
        aliases.append(route_in(redis_client).aliases)

    monkeypatch.setattr(PublishedRoute, "publish", late)
    behind.refresh()
    assert aliases == [{"champion": TWO}] * 2
    behind.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}


def test_a_registry_without_a_model_keeps_other_workers_routes(
    redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    model_routes.publish(redis_client, Route(model=MODEL, description="", aliases={"champion": ONE}, versions={}))
    with pytest.raises(NotRegistered):
        follow().refresh()
    assert model_routes.names(redis_client) == [MODEL]


def test_a_retired_model_has_no_route_until_it_is_restored(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[..., "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    key = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    model_routes.retire(redis_client, MODEL)
    mlflow_store.register("champion")
    for _ in range(2):
        follower.refresh()
    assert model_routes.names(redis_client) == []
    assert events(caplog).count("model_retired") == 1
    assert len(follower.loaded(key).predict([IMAGE])) == 1
    model_routes.restore(redis_client, MODEL)
    follower.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    assert model_routes.names(redis_client) == [MODEL]


def test_a_training_run_is_shown_with_its_version(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    experiment = mlflow_store.client.create_experiment(
        "training", artifact_location=(mlflow_store.directory / "runs").as_uri()
    )
    run = mlflow_store.client.create_run(experiment).info.run_id
    mlflow_store.client.log_param(run, "epochs", 3)
    mlflow_store.client.log_metric(run, "accuracy", 0.75)
    mlflow_store.register("champion")
    path = (mlflow_store.directory / "model-1").as_uri()
    version = mlflow_store.client.create_model_version(MODEL, path, run_id=run)
    follow().refresh()
    found = route_in(redis_client).versions[VersionNumber(str(version.version))]
    assert found.key == f"2-{run[:12]}"
    assert (found.parameters, found.metrics) == ({"epochs": "3"}, {"accuracy": 0.75})
    # The first version's run was never there.
    assert route_in(redis_client).versions[ONE].parameters == {}


def test_a_newer_releases_route_is_read_without_its_new_members() -> None:
    data = (
        b'{"model":"m","description":"","aliases":{"champion":"1"},"news":1,"versions":'
        b'{"1":{"number":"1","key":"1-a","created_at":"","labels":["x"],"more":[]}}}'
    )
    route = model_routes.parse(data)
    assert route.versions[ONE].labels == ("x",)
    assert route.challenger_percent == 0


def test_stopping_ends_the_thread(mlflow_store: MlflowStore, follow: Callable[..., "RegistryFollower"]) -> None:
    mlflow_store.register("champion")
    follower = follow()
    follower.start()
    follower.stop()
    assert not any(thread.name == f"follow-{MODEL}" for thread in threading.enumerate())
    assert torch.get_num_threads() == 1


def test_tags_of_the_model_and_of_its_champion_change_how_it_is_served(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    for name, value in (("max_batch_size", "8"), ("max_wait", "5"), ("beside_people", "soon")):
        mlflow_store.client.set_registered_model_tag(MODEL, f"darkroom.{name}", value)
    mlflow_store.client.set_model_version_tag(MODEL, ONE, "darkroom.max_batch_size", "2")
    follower = follow()
    follower.refresh()
    assert (follower.tuning.max_batch_size, follower.tuning.max_wait) == (2, timedelta(milliseconds=5))
    route = route_in(redis_client)
    assert route.max_batch_size == 2
    assert [warning for warning in route.versions[ONE].warnings if "darkroom.beside_people" in warning]


def test_a_changed_tag_takes_effect_on_a_loaded_version_and_a_wrong_one_is_told(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[..., "RegistryFollower"]
) -> None:
    first = mlflow_store.register("champion")
    follower = follow()
    follower.refresh()
    tag = partial(mlflow_store.client.set_model_version_tag, MODEL, ONE, "darkroom.labels")
    tag('["night", "day"]')
    follower.refresh()
    route = route_in(redis_client)
    second = route.versions[ONE].key
    assert (route.aliases, route.versions[ONE].labels) == ({"champion": ONE}, ("night", "day"))
    assert second != first, "cached outputs with the labels before must not answer"
    assert orjson.loads(follower.loaded(second).predict([IMAGE])[0])["predicted_class"] in {"night", "day"}
    # Images that were submitted before have the version as it was, while it is loaded.
    assert orjson.loads(follower.loaded(first).predict([IMAGE])[0])["predicted_class"] in {"dark", "light"}
    tag('["three", "labels", "here"]')
    for _ in range(2):
        follower.refresh()
    route = route_in(redis_client)
    assert (route.aliases, route.versions[ONE].key) == ({"champion": ONE}, second)
    assert "3 labels" in route.failed[ONE]
    assert route.gone == {}
    mlflow_store.client.delete_model_version_tag(MODEL, ONE, "darkroom.labels")
    follower.refresh()
    route = route_in(redis_client)
    assert (route.versions[ONE].key, route.versions[ONE].labels, route.failed) == (first, ("dark", "light"), {})
