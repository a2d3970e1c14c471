"""Turns and what is in hand, with real threads."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from shared.domain.identifiers import VersionKey
from shared.queue.consumer.entries import Entry
from worker.predict.leases import LeasedEntries
from worker.predict.slots import BatchSlots


def entry(id: str) -> Entry:
    return Entry(lane="lane:m:interactive", id=id, waiting="w", cache="c", version=VersionKey("1-a"), image=b"")


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def begin() -> Iterator[Callable[..., "Turn"]]:
    """Begin a turn in a thread of its own: `begin(turns.shared)`; ended after the test."""
    begun: list[Turn] = []

    def begin(kind: Callable[[], object]) -> Turn:
        begun.append(Turn(kind))
        return begun[-1]

    yield begin
    for turn in begun:
        turn.end()


class Turn:
    """One thread's turn; `running` once it has got it."""

    def __init__(self, kind: Callable[[], object]) -> None:
        self.running = False
        self._over = threading.Event()
        self._kind = kind
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        with self._kind():  # type: ignore[attr-defined]
            self.running = True
            self._over.wait(timeout=5)
        self.running = False


Begin = Callable[..., Turn]


def test_as_many_batches_run_at_once_as_there_are_slots(begin: Begin) -> None:
    turns = BatchSlots(2)
    running = [begin(turns.shared) for _ in range(2)]
    until(lambda: all(turn.running for turn in running))
    third = begin(turns.shared)
    time.sleep(0.02)
    assert not third.running
    running[0].end()
    until(lambda: third.running)
    assert running[1].running


def test_a_suspect_has_the_process_to_itself(begin: Begin) -> None:
    turns = BatchSlots(2)
    batch = begin(turns.shared)
    until(lambda: batch.running)
    suspect = begin(turns.alone)
    time.sleep(0.02)
    assert not suspect.running
    later = begin(turns.shared)  # a slot is free, but the suspect waits for the whole process
    time.sleep(0.02)
    assert not later.running
    batch.end()
    until(lambda: suspect.running)
    time.sleep(0.02)
    assert not later.running
    suspect.end()
    until(lambda: later.running)


def test_two_suspects_take_turns(begin: Begin) -> None:
    turns = BatchSlots(2)
    suspects = [begin(turns.alone) for _ in range(2)]
    until(lambda: any(turn.running for turn in suspects))
    time.sleep(0.02)
    (first,) = [turn for turn in suspects if turn.running]
    (second,) = [turn for turn in suspects if not turn.running]
    first.end()
    until(lambda: second.running)


@pytest.mark.parametrize("kind", ["shared", "alone"])
def test_a_turn_that_raises_is_given_back(kind: str) -> None:
    turns = BatchSlots(1)

    def break_off() -> None:
        with getattr(turns, kind)():
            assert turns.busy
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert not turns.busy
    with turns.shared():
        assert turns.busy


def test_what_is_in_hand_is_known_for_as_long_as_it_is() -> None:
    in_hand, one, two = LeasedEntries(), [entry("1-0"), entry("2-0")], [entry("3-0")]
    with in_hand.hold(one):
        with in_hand.hold(two):
            assert in_hand.entries() == one + two
        assert in_hand.entries() == one
        one.append(entry("4-0"))  # a batch that waits for more
        assert in_hand.entries() == one
    assert in_hand.entries() == []


def test_a_batch_that_raises_is_no_longer_in_hand() -> None:
    in_hand = LeasedEntries()
    with pytest.raises(ValueError, match="broken"), in_hand.hold([entry("1-0")]):
        raise ValueError("broken")
    assert in_hand.entries() == []


def test_the_longest_in_hand_is_the_oldest_batch_there_still_is() -> None:
    clock = Clock()
    in_hand = LeasedEntries(clock)
    assert in_hand.longest() == timedelta(0)
    with in_hand.hold([entry("2-0")]):
        clock.now += 2
        with in_hand.hold([entry("1-0")]):
            clock.now += 1
            assert in_hand.longest() == timedelta(seconds=3)
    with in_hand.hold([entry("3-0")]):
        assert in_hand.longest() == timedelta(0)
