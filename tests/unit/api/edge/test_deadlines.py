"""Timeouts are as long as the settings say, and time in which the server itself does not read is not counted."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.edge.deadlines import Awaited, ConnectionTimeouts
from shared.settings import Wire

LIMITS = Wire(
    head_timeout=timedelta(seconds=3),
    body_rate=100,
    body_patience=timedelta(seconds=5),
    answer_patience=timedelta(seconds=4),
)
REQUEST = object()


def samples(
    patience: ConnectionTimeouts, awaited: Awaited, *, came: Iterable[int], request: object = REQUEST
) -> list[bool]:
    """Take a sample for each entry, after so many more bytes of a body."""
    received, said = 0, []
    for more in came:
        received += more
        said.append(patience.is_over(awaited, request=request, received=received))
    return said


@pytest.mark.parametrize("awaited", [Awaited.HEAD, Awaited.FIRST_BYTE])
def test_a_head_has_its_timeout_and_no_more(awaited: Awaited) -> None:
    # At the first sample it has been under way for less than a second.
    assert samples(ConnectionTimeouts(LIMITS), awaited, came=[0] * 4) == [False, False, False, True]


def test_each_request_has_its_own_time() -> None:
    patience = ConnectionTimeouts(LIMITS)
    for request in ("first", "second", "third"):
        assert not any(samples(patience, Awaited.HEAD, came=[0] * 3, request=request))


def test_a_first_byte_begins_the_heads_time() -> None:
    patience = ConnectionTimeouts(LIMITS)
    assert not any(samples(patience, Awaited.FIRST_BYTE, came=[0] * 3))
    assert not any(samples(patience, Awaited.HEAD, came=[0] * 3))


def test_a_body_may_pause_for_its_patience() -> None:
    assert samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=[0] * 6) == [False] * 5 + [True]


def test_a_body_at_the_required_rate_never_times_out() -> None:
    assert not any(samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=[100] * 1000))
    assert not any(samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=[400, 0, 0, 0] * 250))


def test_a_body_below_the_required_rate_times_out() -> None:
    assert any(samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=[90] * 60))


def test_a_fast_start_gives_no_credit_for_later_slowness() -> None:
    assert samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=[1_000_000, 1_000_000, *[0] * 5])[-1]


def test_time_in_which_the_server_does_not_read_is_not_counted() -> None:
    patience = ConnectionTimeouts(LIMITS)
    samples(patience, Awaited.BODY, came=[0] * 5)
    assert not any(samples(patience, Awaited.OURSELVES, came=[0] * 1000))
    assert samples(patience, Awaited.BODY, came=[0]) == [True]


def test_no_timeout_applies_between_requests() -> None:
    assert not any(samples(ConnectionTimeouts(LIMITS), Awaited.NOTHING, came=[0] * 1000))


@given(st.lists(st.integers(0, 10_000), min_size=5, max_size=60))
def test_a_body_times_out_only_after_its_patience_below_its_rate(came: list[int]) -> None:
    said = samples(ConnectionTimeouts(LIMITS), Awaited.BODY, came=came)
    if True in said:
        over = said.index(True)
        assert any(sum(came[start : over + 1]) <= 100 * (over + 1 - start) for start in range(1, over))


def test_an_answer_times_out_only_when_it_makes_no_progress() -> None:
    patience = ConnectionTimeouts(LIMITS)
    assert not any(patience.answer_is_stuck(unread) for unread in [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0])
    assert [patience.answer_is_stuck(7) for _ in range(5)] == [False, False, False, False, True]
