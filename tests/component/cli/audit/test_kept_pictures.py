"""The audit of kept pictures: their bound, and owners that were purged."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from cli.audit.kept_pictures import wrong_pictures
from shared.domain.identifiers import Digest, ModelName, Owner
from shared.pictures.folder_store import FolderStore
from shared.pictures.names import picture_name
from shared.queue.picture_store import note_store
from shared.settings import KeepImages


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., None]:
    """Keep a picture of 100 bytes, as if so many minutes ago."""

    def keep(owner: str, number: int = 0, *, minutes: float = 20) -> None:
        name = picture_name(Owner(owner), ModelName("m"), Digest(f"{number:064x}"), b"?")
        FolderStore(tmp_path).keep(name, b"?" * 100)
        os.utime(tmp_path / name, (time.time() - minutes * 60,) * 2)

    return keep


@pytest.fixture
def wrong(tmp_path: Path, redis_client: redis.Redis, engine: Engine) -> Callable[..., list[str]]:
    def wrong(*, most_bytes: int = 1000) -> list[str]:
        note_store(redis_client, KeepImages(bytes=most_bytes), address=str(tmp_path))
        with engine.connect() as connection:
            return list(wrong_pictures(redis_client, connection))

    return wrong


def test_nothing_is_wrong_where_no_picture_was_ever_kept(redis_client: redis.Redis, engine: Engine) -> None:
    with engine.connect() as connection:
        assert list(wrong_pictures(redis_client, connection)) == []


def test_pictures_within_the_bound_of_known_owners_are_right(keep: Any, wrong: Any, row: Any) -> None:
    row("ann")
    keep("ann")
    keep("young", minutes=1)
    assert wrong() == []


def test_more_bytes_than_the_bound_are_told_once_upkeep_has_had_time(keep: Any, wrong: Any, row: Any) -> None:
    row("ann")
    for number in range(11):
        keep("ann", number, minutes=1 if number == 10 else 20)
    assert wrong() == []
    keep("ann", 11)
    assert wrong() == ["kept pictures: they have 1,100 bytes, 1,000 are the bound"]


def test_pictures_of_a_purged_owner_are_told(keep: Any, wrong: Any) -> None:
    keep("gone")
    assert wrong() == ["kept pictures: gone has some and no prediction; they should be deleted"]


def test_a_folder_of_another_machine_is_left_to_it(wrong: Any, tmp_path: Path) -> None:
    tmp_path.rmdir()
    assert wrong() == []
