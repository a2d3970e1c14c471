"""The limit of open files and connections."""

import resource
from collections.abc import Iterator

import pytest

from shared import descriptors
from shared.descriptors import ENOUGH, allow_connections


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """The limits before, which hold again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_is_raised_to_what_is_allowed(limits: tuple[int, int]) -> None:
    hard = limits[1]
    allowed = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed // 2, hard))
    assert allow_connections() == allowed
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (allowed, hard)


def test_a_high_limit_is_not_lowered(limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "ENOUGH", limits[0] - 1)
    assert allow_connections() == limits[0]


def test_a_system_that_refuses_leaves_it_as_it_was(limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allow_connections() == limits[0] - 1
    monkeypatch.undo()
