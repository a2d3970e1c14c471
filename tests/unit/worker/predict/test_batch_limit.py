"""How many images a micro-batch may have."""

from datetime import timedelta

import pytest

from shared.settings import Batching
from worker.predict.batch_limit import LOWERED_FOR, BatchLimit


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_limit_is_lowered_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limit = BatchLimit(Batching(max_batch_size=32), monotonic=clock)
    limit.lower(16)
    limit.lower(0)
    assert limit.images() == 1
    clock.now += LOWERED_FOR.total_seconds()
    assert limit.images() == 32
    assert [(line.message, vars(line)["batch_limit"]) for line in caplog.records] == [
        ("out_of_memory", 16),
        ("out_of_memory", 1),
    ]


def test_beside_interactive_work_the_time_limits_bulk_to_at_least_two() -> None:
    limit = BatchLimit(Batching(max_batch_size=32, beside_people=timedelta(milliseconds=50)))
    assert limit.beside_people() == 32
    for _ in range(50):
        limit.learn(100, images=10)
    assert limit.beside_people() == 5
    for _ in range(50):
        limit.learn(1000, images=1)
    assert limit.beside_people() == 2


def test_no_more_are_taken_than_the_version_is_served_best_with() -> None:
    limit = BatchLimit(Batching(max_batch_size=32))
    limit.keep_to(16)
    assert limit.images() == 16
    limit.lower(4)
    assert limit.images() == 4
    limit.keep_to(100)
    assert limit.images() == 4
    limit.keep_to(None)
    assert limit.images() == 4
