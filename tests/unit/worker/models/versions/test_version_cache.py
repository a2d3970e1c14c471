"""Loading versions into memory."""

import weakref

import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelUnavailable

version_cache = deferred("worker.models.versions.version_cache")
pytestmark = pytest.mark.xdist_group("torch")


class PanicException(BaseException):
    """As libraries written in Rust raise it."""


@pytest.mark.parametrize("raised", [SystemExit(3), PanicException("3"), KeyboardInterrupt("3"), GeneratorExit("3")])
def test_a_version_whose_code_raises_whatever_it_may_fails_to_load(raised: BaseException) -> None:
    def load(_: object) -> object:
        raise raised

    with pytest.raises(ModelUnavailable, match=f"{type(raised).__name__}: 3"):
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
