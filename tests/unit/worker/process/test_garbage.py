"""The garbage collector leaves alone what was there, and collects it all the same once a version was dropped."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from worker.process.garbage import collect_all, leave_alone_what_is_there


class RefersToItself:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_refers_to_itself_is_collected_only_by_collect_all() -> None:
    version = RefersToItself()
    dropped = weakref.ref(version)
    leave_alone_what_is_there()
    del version
    gc.collect()
    assert dropped() is not None
    collect_all()
    assert dropped() is None


def test_later_garbage_is_collected_as_ever() -> None:
    leave_alone_what_is_there()
    dropped = weakref.ref(RefersToItself())
    gc.collect()
    assert dropped() is None
