"""Upkeep keeps the store of pictures within its bounds, and free of owners that were purged."""

import hashlib
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from shared.domain.identifiers import ANYONE, Digest, ModelName, Owner
from shared.observability.metrics import StoredPictureMetrics
from shared.pictures.folder_store import FolderStore
from shared.pictures.names import picture_name
from shared.queue import keys
from worker.upkeep.kept_pictures import PictureSweep

NOW = time.time()
HOUR, DAY = 3600, 86_400


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "kept")


@pytest.fixture
def keep(store: FolderStore, tmp_path: Path) -> Callable[..., str]:
    """Keep a picture of `size` bytes, as if so many seconds ago; returns its name."""

    def keep(number: int, *, ago: float = 0, size: int = 100, owner: str = ANYONE) -> str:
        image = b"%d" % number * size
        image = image[:size]
        digest = Digest(hashlib.sha256(b"%d" % number).hexdigest())
        name = picture_name(Owner(owner), ModelName("m"), digest, image)
        store.keep(name, image)
        os.utime(tmp_path / "kept" / name, (NOW - ago, NOW - ago))
        return name

    return keep


@pytest.fixture
def sweep(store: FolderStore, redis_client: redis.Redis, engine: Engine) -> Callable[..., PictureSweep]:
    def sweep(*, most_bytes: int = 1000, age: timedelta = timedelta(days=30)) -> PictureSweep:
        metrics = StoredPictureMetrics(CollectorRegistry())
        return PictureSweep(store, redis_client, engine, metrics, most_bytes=most_bytes, age=age, now=lambda: NOW)

    return sweep


def left(store: FolderStore) -> set[str]:
    return {kept.name for kept in store.pictures()}


def test_pictures_past_their_age_are_deleted(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    keep(1, ago=31 * DAY)
    young = keep(2, ago=29 * DAY)
    assert sweep().sweep() == 1
    assert left(store) == {young}
    assert sweep().sweep() == 0


def test_above_the_bound_the_oldest_are_deleted(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    names = [keep(number, ago=number * HOUR) for number in range(12)]
    assert sweep(most_bytes=1000).sweep() == 3
    assert left(store) == set(names[:9])
    assert sweep(most_bytes=1000).sweep() == 0


def test_the_bound_holds_for_pictures_of_one_minute(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    for number in range(30):
        keep(number)
    sweep(most_bytes=1000).sweep()
    assert len(left(store)) == 9


def test_one_picture_above_the_bound_is_not_kept(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    keep(1, size=2000)
    sweep(most_bytes=1000).sweep()
    assert left(store) == set()


def test_exactly_the_bound_is_kept(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    for number in range(10):
        keep(number)
    assert sweep(most_bytes=1000).sweep() == 0
    assert len(left(store)) == 10


def test_pictures_of_an_owner_without_predictions_are_deleted_once_all_is_recorded(
    keep: Any, sweep: Any, store: FolderStore, row: Any, redis_client: redis.Redis
) -> None:
    row("known")
    known, young = keep(1, ago=HOUR, owner="known"), keep(2, owner="purged")
    keep(3, ago=HOUR, owner="purged")
    waits, recorded_late = keep(4, ago=HOUR, owner="waits"), keep(5, ago=HOUR, owner="late")
    redis_client.zadd(keys.inflight(Owner("waits")), {"id": 1})
    redis_client.xadd(keys.FINISHED, {"owner": "late"})
    assert sweep().sweep() == 1
    assert left(store) == {known, young, waits, recorded_late}


def test_one_worker_sweeps_within_a_pause(keep: Any, sweep: Any, store: FolderStore, row: Any) -> None:
    row(ANYONE)
    first, second = sweep(), sweep()
    first.sweep_in_turn()
    old = keep(1, ago=31 * DAY)
    second.sweep_in_turn()
    assert left(store) == {old}


def test_a_store_that_fails_is_logged_and_not_raised(sweep: Any, tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "kept").write_bytes(b"")
    sweep().sweep_in_turn()
    assert "pictures_not_swept" in caplog.text
