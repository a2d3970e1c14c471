from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ages import parse_age, written_age


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("1.5h", timedelta(minutes=90)),
        (" 7D ", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_an_age_is_read(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize(
    "text", ["", "7", "d", "0d", "-1d", "1y", "1 d", "1d1h", "P7D", "999999999w", "٧d", "1e3s", "nan"]
)
def test_any_other_text_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="such as 24h or 7d"):
        parse_age(text)


@pytest.mark.parametrize("text", ["30s", "90s", "10m", "90m", "1h", "36h", "1d", "7d", "0.5s", "10000001s"])
def test_an_age_is_written_as_it_is_read(text: str) -> None:
    assert written_age(parse_age(text)) == text


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10_000)))
def test_a_written_age_is_the_same_age(age: timedelta) -> None:
    assert abs(parse_age(written_age(age)) - age) <= timedelta(microseconds=1)
