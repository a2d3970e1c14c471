"""When a receiver rests and for how long, how much is let through afterwards, and which are healthy."""

from datetime import timedelta

import pytest

from shared.domain.identifiers import ANYONE, Owner
from shared.settings import Webhooks
from shared.storage.delivery_claims import Receiver
from worker.webhooks import circuit_breakers
from worker.webhooks.circuit_breakers import FORGET_AFTER, LATEST, LONGEST_REST, CircuitBreakers

SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(milliseconds=2)
A = Receiver(ANYONE, "https://a.example")
B = Receiver(ANYONE, "https://b.example")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(clock: Clock) -> CircuitBreakers:
    settings = Webhooks(breaker_attempts=4, breaker_failing=0.75, breaker_rest=SECOND, at_once_each=16)
    return CircuitBreakers(settings, monotonic=clock)


def fail(made: CircuitBreakers, times: int = 1, receiver: Receiver = A, *, took: timedelta = AT_ONCE) -> None:
    for _ in range(times):
        made.failed(receiver, took=took)


def test_a_few_attempts_do_not_open_the_breaker(made: CircuitBreakers) -> None:
    fail(made, 3)
    assert made.resting() == []
    fail(made)
    assert made.resting() == [A]


def test_the_failure_rate_opens_the_breaker_not_consecutive_failures(made: CircuitBreakers) -> None:
    for _ in range(20):
        made.succeeded(A)
        made.succeeded(A)
        fail(made, 5)
    assert made.resting() == [], "five in a row, and 71% in all"
    fail(made, 5)
    assert made.resting() == [A]


def test_older_attempts_do_not_count(made: CircuitBreakers) -> None:
    for _ in range(1000):
        made.succeeded(A)
    fail(made, LATEST - 6)
    assert made.resting() == []
    fail(made)
    assert made.resting() == [A]


def test_each_owner_has_a_breaker_of_their_own_per_receiver(made: CircuitBreakers) -> None:
    other = Receiver(Owner("somebody else"), A.destination)
    fail(made, 50)
    made.failed(B, took=AT_ONCE)
    made.succeeded(other)
    assert (made.resting(), made.healthy()) == ([A], [other])
    assert (made.is_resting(A), made.is_resting(other)) == (True, False)


def test_after_its_rest_it_is_half_open_and_the_next_rest_is_longer(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 4)
    assert made.half_open() == {}
    clock.now += 1
    assert (made.resting(), made.half_open()) == ([], {A: 4})
    fail(made)
    clock.now += 1
    assert made.resting() == [A]
    clock.now += 0.5
    assert made.half_open() == {A: 4}


def test_the_first_success_closes_it_and_clears_its_record(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 4)
    clock.now += 1
    fail(made)
    clock.now += 2
    made.succeeded(A)
    assert (made.resting(), made.half_open(), made.healthy()) == ([], {}, [A])
    fail(made, 2)
    assert made.resting() == []
    fail(made)
    assert made.resting() == [A], "three of four"
    clock.now += 1
    assert made.half_open() == {A: 4}, "its rests begin anew"


def test_attempts_under_way_when_it_opened_do_not_count(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 20)
    clock.now += 1
    assert made.half_open() == {A: 4}


def test_slow_failures_get_longer_rests_and_one_attempt_at_a_time(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 4, took=timedelta(seconds=15))
    clock.now += 29
    assert made.resting() == [A]
    clock.now += 1
    assert made.half_open() == {A: 1}


def test_a_rest_has_a_maximum_length(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 4)
    for _ in range(40):
        clock.now += LONGEST_REST.total_seconds()
        fail(made)
    clock.now += LONGEST_REST.total_seconds() - 1
    assert made.resting() == [A]
    clock.now += 1
    assert made.resting() == []


def test_retry_after_sets_the_rest_up_to_the_maximum(made: CircuitBreakers, clock: Clock) -> None:
    made.succeeded(A)
    made.failed(A, took=AT_ONCE, retry_after=timedelta(seconds=90))
    clock.now += 89
    assert (made.resting(), made.healthy()) == ([A], [])
    clock.now += 1
    assert (made.resting(), made.healthy(), made.half_open()) == ([], [A], {})
    made.failed(A, took=AT_ONCE, retry_after=timedelta(days=1))
    clock.now += LONGEST_REST.total_seconds()
    assert made.resting() == []


def test_a_receiver_without_recent_attempts_is_forgotten(made: CircuitBreakers, clock: Clock) -> None:
    fail(made, 4)
    made.succeeded(B)
    clock.now += FORGET_AFTER.total_seconds() + LONGEST_REST.total_seconds()
    assert made.resting() == []
    assert made.half_open() == {}
    assert made.healthy() == [B]


def test_the_latest_receivers_that_answer_half_the_time_are_healthy(
    made: CircuitBreakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breakers, "MOST_HEALTHY", 3)
    a, b, c, d = (Receiver(ANYONE, name) for name in "abcd")
    for one in (a, b, c, d, a):
        made.succeeded(one)
    assert made.healthy() == [c, d, a]
    fail(made, 1, a)
    assert made.healthy() == [c, d, a], "one of two"
    fail(made, 1, a)
    assert made.healthy() == [c, d]
    made.succeeded(a)
    assert made.healthy() == [c, d, a]
