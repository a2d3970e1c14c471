"""Loading versions into memory."""

import weakref

import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelUnavailable

version_cache = deferred("worker.models.versions.version_cache")
pytestmark = pytest.mark.xdist_group("torch")


def test_a_version_whose_code_calls_exit_fails_to_load() -> None:
    def load(_: object) -> object:
        raise SystemExit(3)

    with pytest.raises(ModelUnavailable, match="SystemExit: 3"):
        version_cache.VersionCache(load, room=1).get("1-a")


def test_a_dropped_version_is_freed_though_it_refers_to_itself() -> None:
    class Version:
        def __init__(self) -> None:
            self.graph = self

    loaded: list[weakref.ref[Version]] = []

    def load(_: object) -> Version:
        version = Version()
        loaded.append(weakref.ref(version))
        return version

    cache = version_cache.VersionCache(load, room=1)
    cache.get("1-a")
    cache.get("2-b")
    assert [version() is None for version in loaded] == [True, False]
