"""Images whose version has to be loaded wait for that in a thread; other images are computed meanwhile."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import VersionKey
from shared.queue import keys
from shared.queue.consumer.entries import Entry
from tests.support.leases import end_leases
from tests.support.predictors import LANE, VERSION, Make, Pictures, Submit, Versions, job, said
from tests.support.waiting import LIMIT, until
from worker.models.errors import ModelUnavailable
from worker.predict.leases import LeasedEntries
from worker.predict.slots import BatchSlots
from worker.predict.unloaded_versions import UnloadedVersions

KEY = VersionKey("1-a")


def entry(id: str, version: VersionKey = KEY) -> Entry:
    return Entry(lane="lane:m:interactive", id=id, waiting="w", cache="c", version=version, image=b"")


class Loading:
    """Versions that load when the test says so."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.times = 0

    def has_to_load(self, _: VersionKey) -> bool:
        return not self.may.is_set()

    def loaded(self, _: VersionKey) -> None:
        self.times += 1
        self.may.wait()
        raise ModelUnavailable("as good as loaded: computing says so for each image")


class Computed:
    """What was computed, in batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.rooms = 0

    def compute(self, entries: Sequence[Entry]) -> None:
        self.batches.append([entry.id for entry in entries])

    def room(self) -> None:
        self.rooms += 1


def waiting(models: Loading, computed: Computed, *, longest: float = 60) -> UnloadedVersions:
    return UnloadedVersions(
        lambda one: models.loaded(one.version),
        slots=BatchSlots(1),
        compute=computed.compute,
        on_room=computed.room,
        longest=timedelta(seconds=longest),
    )


def test_images_wait_leased_until_their_version_is_loaded_once() -> None:
    models, computed = Loading(), Computed()
    unloaded = waiting(models, computed)
    unloaded.take([entry("1-0"), entry("2-0")])
    unloaded.take([entry("3-0")])
    assert (unloaded.count(), {one.id for one in unloaded.entries()}) == (3, {"1-0", "2-0", "3-0"})
    models.may.set()
    unloaded.stop()
    assert (computed.batches, computed.rooms, models.times) == ([["1-0", "2-0", "3-0"]], 1, 1)
    assert (unloaded.count(), unloaded.entries()) == (0, [])


def test_an_image_that_has_waited_too_long_is_leased_no_more() -> None:
    models, computed = Loading(), Computed()
    unloaded = waiting(models, computed, longest=0.01)
    unloaded.take([entry("1-0")])
    time.sleep(0.05)
    assert unloaded.entries() == []
    models.may.set()
    unloaded.stop()
    assert computed.batches == [["1-0"]]


def test_a_version_loads_though_another_never_does() -> None:
    models, computed = Loading(), Computed()
    stuck = threading.Event()

    def loaded(key: VersionKey) -> None:
        if key != KEY:
            stuck.wait()

    models.loaded = loaded  # type: ignore[method-assign]
    unloaded = waiting(models, computed)
    unloaded.take([entry("1-0", VersionKey("2-b"))])
    unloaded.take([entry("2-0")])
    until(lambda: computed.batches, pause=0.01)
    assert computed.batches == [["2-0"]]
    stuck.set()
    unloaded.stop()


def test_a_suspect_whose_version_loads_for_long_keeps_no_other_image_waiting_and_is_not_stuck(
    submit: Submit, predictor: Make, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, load = threading.Event(), Versions.loaded

    def loaded(versions: Versions, key: VersionKey) -> Pictures:
        assert key != VERSION or may.wait(LIMIT)
        return load(versions, key)

    monkeypatch.setattr(Versions, "loaded", loaded)
    monkeypatch.setattr(Versions, "has_to_load", lambda _, key: key == VERSION and not may.is_set())
    suspect = submit(10)
    redis_client.xreadgroup(keys.WORKERS, "dead", {LANE: ">"})
    end_leases(redis_client)
    leased = LeasedEntries()
    worker = predictor(Pictures(), Pictures("4-b"), leased=leased, lease=timedelta(minutes=1))
    assert worker.poll()["images"] == 1
    assert (leased.entries(), worker.unloaded.count()) == ([], 1), "it is leased, and its load is no stuck micro-batch"
    other = submit(12, version="4-b")

    def ended(id: str) -> bool:
        worker.poll()
        return job(redis_client, id, "state") == ("succeeded",)

    until(lambda: ended(other))
    assert job(redis_client, suspect, "state") == ("processing",)
    may.set()
    until(lambda: ended(suspect))
    assert job(redis_client, suspect) == said(10)
    assert job(redis_client, suspect, "attempts") == ("2",)
