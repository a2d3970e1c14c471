"""The garbage collector leaves alone what was there, and frees what was loaded later once it is dropped."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from worker.process.garbage import collect_dropped, leave_libraries_alone


class RefersToItself:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave alone again what was imported, as tests/conftest.py does: later collections would go through all of it."""
    yield
    gc.freeze()


def test_what_was_there_is_left_alone() -> None:
    library = RefersToItself()
    dropped = weakref.ref(library)
    leave_libraries_alone()
    del library
    collect_dropped()
    assert dropped() is not None


def test_a_version_loaded_later_is_freed_and_the_libraries_stay_left_alone() -> None:
    library = RefersToItself()
    imported = weakref.ref(library)
    leave_libraries_alone()
    del library
    dropped = weakref.ref(RefersToItself())
    collect_dropped()
    assert dropped() is None
    assert imported() is not None
