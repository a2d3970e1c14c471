"""Micro-batch slots, with real threads."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support import waiting
from tests.support.waiting import LIMIT
from worker.predict.slots import BatchSlots

until = partial(waiting.until, pause=0.001)


@pytest.fixture
def begin() -> Iterator[Callable[..., "Holder"]]:
    """Hold slots in a thread of its own: `begin(slots.shared)`; released after the test."""
    begun: list[Holder] = []

    def begin(kind: Callable[[], object]) -> Holder:
        begun.append(Holder(kind))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


class Holder:
    """A thread that holds slots until `end`; `running` while it does."""

    def __init__(self, kind: Callable[[], object]) -> None:
        self.running = False
        self._over = threading.Event()
        self._kind = kind
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(timeout=LIMIT)

    def _run(self) -> None:
        with self._kind():  # type: ignore[attr-defined]
            self.running = True
            self._over.wait(timeout=LIMIT)
        self.running = False


Begin = Callable[..., Holder]


def test_as_many_batches_run_at_once_as_there_are_slots(begin: Begin) -> None:
    slots = BatchSlots(2)
    running = [begin(slots.shared) for _ in range(2)]
    until(lambda: all(one.running for one in running))
    third = begin(slots.shared)
    time.sleep(0.02)
    assert not third.running
    running[0].end()
    until(lambda: third.running)
    assert running[1].running


def test_a_suspect_runs_alone_in_the_process(begin: Begin) -> None:
    slots = BatchSlots(2)
    batch = begin(slots.shared)
    until(lambda: batch.running)
    suspect = begin(slots.alone)
    time.sleep(0.02)
    assert not suspect.running
    later = begin(slots.shared)  # a slot is free, but the suspect waits for the whole process
    time.sleep(0.02)
    assert not later.running
    batch.end()
    until(lambda: suspect.running)
    time.sleep(0.02)
    assert not later.running
    suspect.end()
    until(lambda: later.running)


def test_two_suspects_run_one_after_the_other(begin: Begin) -> None:
    slots = BatchSlots(2)
    suspects = [begin(slots.alone) for _ in range(2)]
    until(lambda: any(one.running for one in suspects))
    time.sleep(0.02)
    (first,) = [one for one in suspects if one.running]
    (second,) = [one for one in suspects if not one.running]
    first.end()
    until(lambda: second.running)


@pytest.mark.parametrize("kind", ["shared", "alone"])
def test_slots_are_released_when_the_block_raises(kind: str) -> None:
    slots = BatchSlots(1)

    def break_off() -> None:
        with getattr(slots, kind)():
            assert slots.busy
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert not slots.busy
    with slots.shared():
        assert slots.busy


def test_one_that_goes_after_others_lets_one_batch_that_waits_go_first(begin: Begin) -> None:
    slots = BatchSlots(1)
    first = begin(slots.shared)
    until(lambda: first.running)
    patient = begin(partial(slots.shared, after_others=True))
    until(lambda: slots._waiting == 1)
    others = [begin(slots.shared) for _ in range(2)]
    until(lambda: slots._waiting == 3)
    first.end()
    until(lambda: any(one.running for one in others))
    assert not patient.running
    one, other = sorted(others, key=lambda holder: not holder.running)
    one.end()
    until(lambda: patient.running or other.running)  # it waits for no second one
    if not patient.running:
        other.end()
    until(lambda: patient.running)


def test_one_that_goes_after_others_waits_for_nobody_who_is_not_there(begin: Begin) -> None:
    slots = BatchSlots(1)
    only = begin(partial(slots.shared, after_others=True))
    until(lambda: only.running)
    second = begin(partial(slots.shared, after_others=True))
    only.end()
    until(lambda: second.running)
