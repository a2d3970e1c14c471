"""Headers of a submission: durations to wait and to cancel after, idempotency keys."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.request_headers import (
    CANCEL_AFTER,
    LONGEST_CANCEL_AFTER,
    LONGEST_IDEMPOTENCY_KEY,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    parse_cancel_after,
    parse_prefer_wait,
    read_idempotency_key,
)
from shared.domain.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("5m", 300), ("1h30m45s", 5445), (" 2h ", 7200), ("1h5", 3605)]
)
def test_cancel_after_takes_the_forms_of_the_contract(text: str, seconds: int) -> None:
    assert parse_cancel_after(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "5x", "m", "1.5s", "5m1h", "s", "9999999h", "٣"])
def test_cancel_after_refuses_everything_else(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_cancel_after(text)


@given(st.binary(max_size=12) | st.from_regex(rb"[0-9]{0,10}[hms]?[0-9]{0,9}[hms]?", fullmatch=True))
def test_cancel_after_accepts_exactly_what_the_document_says(header: bytes) -> None:
    text = header.decode("latin-1")
    said = re.fullmatch(CANCEL_AFTER, text.strip())
    try:
        assert timedelta(0) < parse_cancel_after(text) <= LONGEST_CANCEL_AFTER
    except ValueError as error:
        assert not said or "over 7 days" in str(error) or "no time at all" in str(error)  # noqa: PT017  either is right
    else:
        assert said


@given(st.binary(max_size=30).map(lambda rest: b"wait=" + rest) | st.binary(max_size=30))
def test_any_prefer_header_waits_between_a_second_and_a_minute_or_not(header: bytes) -> None:
    wait = parse_prefer_wait(header.decode("latin-1"))
    assert wait is None or SHORTEST_WAIT <= wait <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait", 60),
        ("wait=5", 5),
        ("wait=0", 1),
        ("wait=900", 60),
        ("respond-async, wait=7", 7),
        ("wait=3, wait=9", 3),
        ('wait="4"', 4),
        ("wait=x, wait=2", 2),
        ("WAIT=8", 8),
        ("wait=6; foo=bar", 6),
    ],
)
def test_prefer_wait_is_the_first_readable_one_within_bounds(header: str, seconds: int) -> None:
    assert parse_prefer_wait(header) == timedelta(seconds=seconds)


@pytest.mark.parametrize("header", [None, "", "respond-async", "wait=soon", "waiting=3", "wait=-1"])
def test_other_preferences_do_not_wait(header: str | None) -> None:
    assert parse_prefer_wait(header) is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e", "8e03978e"),
        ('"8e03978e"', "8e03978e"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"', '"'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_an_idempotency_key_may_be_quoted(header: str, key: str) -> None:
    assert read_idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", " ", '""', "x" * 256])
def test_an_empty_or_long_idempotency_key_is_refused_with_its_pointer(header: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_idempotency_key(header)
    assert refused.value.pointer == "Idempotency-Key"


@given(st.binary(max_size=300) | st.binary(max_size=20).map(lambda rest: b'"' + rest + b'"'))
def test_no_idempotency_key_raises_anything_else(header: bytes) -> None:
    try:
        assert 0 < len(read_idempotency_key(header.decode("latin-1"))) <= LONGEST_IDEMPOTENCY_KEY
    except InvalidParameter:
        return
