"""Numbers as people write them: no exponent, and as near as their digits allow."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.written_numbers import written


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 9))
def test_a_number_has_no_exponent_and_is_as_near_as_its_digits_allow(value: float, digits: int) -> None:
    text = written(value, digits=digits)
    assert "e" not in text
    assert math.isclose(float(text.replace(",", "")), value, rel_tol=10 ** (1 - digits) / 2 * 1.001, abs_tol=0)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (31_812.4, 3, "31,812"),
        (999.6, 3, "1,000"),
        (99.96, 3, "100"),
        (4.646, 3, "4.65"),
        (0.00012, 3, "0.00012"),
        (0, 3, "0"),
        (86_400.0, 6, "86,400"),
        (2_592_000.0, 6, "2,592,000"),
        (-37.5, 6, "-37.5"),
        (math.inf, 6, "inf"),
        (math.nan, 6, "nan"),
    ],
)
def test_numbers_are_written_so(value: float, digits: int, text: str) -> None:
    assert written(value, digits=digits) == text
