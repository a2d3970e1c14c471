"""When a destination rests, for how long, and who answers."""

from datetime import timedelta

import pytest

from worker.webhooks import breakers
from worker.webhooks.breakers import FORGET_AFTER, LONGEST_REST, Breakers

SECOND = timedelta(seconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(clock: Clock) -> Breakers:
    return Breakers(failures=3, rest=SECOND, monotonic=clock)


def fail(made: Breakers, times: int, destination: str = "a") -> None:
    for _ in range(times):
        made.failed(destination)


def test_failures_in_a_row_let_a_destination_rest_and_no_other(made: Breakers) -> None:
    fail(made, 2)
    assert made.resting() == []
    made.succeeded("a")
    fail(made, 2)
    made.failed("b")
    assert made.resting() == []
    fail(made, 1)
    assert made.resting() == ["a"]


def test_after_its_rest_it_is_tried_and_rests_twice_as_long_or_is_as_before(made: Breakers, clock: Clock) -> None:
    fail(made, 3)
    assert made.trying() == []
    clock.now += 1
    assert (made.resting(), made.trying()) == ([], ["a"])
    fail(made, 1)
    clock.now += 1
    assert made.resting() == ["a"]
    clock.now += 1
    assert made.trying() == ["a"]
    made.succeeded("a")
    assert (made.resting(), made.trying()) == ([], [])
    fail(made, 2)
    assert made.resting() == []


def test_attempts_that_were_under_way_when_it_opened_count_for_nothing(made: Breakers, clock: Clock) -> None:
    fail(made, 20)
    clock.now += 1
    assert made.trying() == ["a"]


def test_a_rest_has_a_longest(made: Breakers, clock: Clock) -> None:
    fail(made, 3)
    for _ in range(40):
        clock.now += LONGEST_REST.total_seconds()
        fail(made, 1)
    clock.now += LONGEST_REST.total_seconds() - 1
    assert made.resting() == ["a"]
    clock.now += 1
    assert made.resting() == []


def test_who_asks_to_be_left_alone_is_for_so_long(made: Breakers, clock: Clock) -> None:
    made.failed("a", retry_after=timedelta(seconds=90))
    clock.now += 89
    assert made.resting() == ["a"]
    clock.now += 1
    assert made.trying() == ["a"]
    made.failed("a", retry_after=timedelta(days=1))
    clock.now += LONGEST_REST.total_seconds()
    assert made.resting() == []


def test_what_is_long_quiet_is_forgotten(made: Breakers, clock: Clock) -> None:
    fail(made, 3)
    clock.now += FORGET_AFTER.total_seconds() + LONGEST_REST.total_seconds()
    assert made.resting() == []
    assert made.trying() == []


def test_who_answered_last_time_is_known_and_only_the_latest(made: Breakers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "MOST_ANSWERING", 3)
    for name in "abcda":
        made.succeeded(name)
    assert made.answering() == ["c", "d", "a"]
    made.failed("d")
    assert made.answering() == ["c", "a"]
