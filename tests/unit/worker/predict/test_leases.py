"""The entries that are leased, and what renews their leases."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.identifiers import VersionKey
from shared.queue.consumer.entries import Entry
from tests.support.waiting import LIMIT
from worker.predict.leases import LeasedEntries, LeaseKeeper


def entry(id: str) -> Entry:
    return Entry(lane="lane:m:interactive", id=id, waiting="w", cache="c", version=VersionKey("1-a"), image=b"")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_entries_are_leased_while_they_are_held() -> None:
    leased, one, two = LeasedEntries(), [entry("1-0"), entry("2-0")], [entry("3-0")]
    with leased.hold(one):
        with leased.hold(two):
            assert leased.entries() == one + two
        assert leased.entries() == one
        one.append(entry("4-0"))  # a batch that waits for more
        assert leased.entries() == one
    assert leased.entries() == []


def test_a_batch_that_raises_is_no_longer_leased() -> None:
    leased = LeasedEntries()
    with pytest.raises(ValueError, match="broken"), leased.hold([entry("1-0")]):
        raise ValueError("broken")
    assert leased.entries() == []


def test_the_longest_leased_is_the_oldest_batch_still_held() -> None:
    clock = Clock()
    leased = LeasedEntries(clock)
    assert leased.longest() == timedelta(0)
    with leased.hold([entry("2-0")]):
        clock.now += 2
        with leased.hold([entry("1-0")]):
            clock.now += 1
            assert leased.longest() == timedelta(seconds=3)
    with leased.hold([entry("3-0")]):
        assert leased.longest() == timedelta(0)


class Calls:
    """In place of one model's lanes; records the calls."""

    def __init__(self) -> None:
        self.renewed: list[list[Entry]] = []
        self.signs = 0

    def renew(self, entries: list[Entry]) -> None:
        self.renewed.append(entries)

    def sign_of_life(self, *others: "Calls", signs: Sequence[str]) -> None:
        assert not signs
        for calls in (self, *others):
            calls.signs += 1


def test_all_leases_are_renewed_at_once_and_each_model_is_registered() -> None:
    leased, heavy = LeasedEntries(), [entry("9-0")]
    keeper, first, second = LeaseKeeper(leased, heavy=lambda: heavy), Calls(), Calls()
    keeper.renew()  # nothing is served yet
    models: list[Any] = [first, second]
    for lanes in models:
        keeper.add(lanes)
    with leased.hold([entry("1-0")]):
        keeper.renew()
    assert (first.renewed, second.renewed) == ([[entry("1-0"), *heavy]], [])
    assert (first.signs, second.signs) == (1, 1)


def test_a_model_that_is_left_while_it_is_registered_is_registered_no_more_afterwards() -> None:
    """The sign of life would be given after it was taken away, and the worker count for a minute where it has left."""
    keeper, said = LeaseKeeper(LeasedEntries(), heavy=list), []
    giving, go_on = threading.Event(), threading.Event()

    class Slow(Calls):
        def sign_of_life(self, *others: Calls, signs: Sequence[str]) -> None:
            giving.set()
            assert go_on.wait(LIMIT)
            super().sign_of_life(*others, signs=signs)
            said.append("registered")

    lanes: Any = Slow()

    def leave() -> None:
        keeper.remove(lanes)
        said.append("left")

    keeper.add(lanes)
    renewing, leaving = threading.Thread(target=keeper.renew), threading.Thread(target=leave)
    renewing.start()
    assert giving.wait(LIMIT)
    leaving.start()
    leaving.join(0.05)  # without the fault it can't end yet, with it it ends at once
    go_on.set()
    renewing.join()
    leaving.join()
    assert said == ["registered", "left"]
