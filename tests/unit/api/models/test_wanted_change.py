"""Changes of what serves, read from JSON: what is usual, what is refused, and which number is named."""

from typing import Any

import pytest

from api.models import wanted_change
from api.models.wanted_change import read_canary_terms, read_percent, read_text
from shared.domain.canary_changes import CanaryTerms
from shared.domain.errors import InvalidParameter


def test_what_is_null_or_left_out_is_as_the_command_has_it() -> None:
    assert read_canary_terms({}) == CanaryTerms()
    nothing = dict.fromkeys(("steps", "every_seconds", "max_errors", "max_p99", "min_agreement", "min_images"))
    assert read_canary_terms(nothing) == CanaryTerms()
    assert read_text({}, "version") is None
    assert read_text({"version": None}, "version") is None


def test_every_term_is_read() -> None:
    given = {
        "steps": [10, 50.0, 100],
        "every_seconds": 60,
        "max_errors": 0,
        "max_p99": 2,
        "min_agreement": 0.9,
        "min_images": 37.0,
        "patience_seconds": 3600,
    }
    assert read_canary_terms(given) == CanaryTerms(
        steps=(10, 50, 100),
        every=60.0,
        max_errors=0.0,
        max_p99=2.0,
        min_agreement=0.9,
        min_images=37,
        patience=3600.0,
    )


@pytest.mark.parametrize("text", ["1", "latest", "123456789012345678"])
def test_a_version_is_a_number_as_text_or_latest(text: str) -> None:
    assert read_text({"version": text}, "version") == text


@pytest.mark.parametrize("value", [4, "", "0", "04", "newest", "1\n", "1234567890123456789", [], True])
def test_what_is_no_version_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParameter) as error:
        read_text({"version": value}, "version")
    assert (error.value.detail, error.value.pointer) == (
        "version must be a version's number, as a text, or latest",
        "/version",
    )


@pytest.mark.parametrize(("value", "percent"), [(0, 0), (100, 100), (37.0, 37)])
def test_a_share_is_a_whole_number_of_per_cent(value: float, percent: int) -> None:
    assert read_percent({"percent": value}) == percent


@pytest.mark.parametrize("value", [None, -1, 101, 0.5, "10", True, float("nan")])
def test_what_is_no_share_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParameter) as error:
        read_percent({"percent": value})
    assert error.value.detail == "percent must be a whole number from 0 to 100"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("steps", [100, 50], "rising whole percentages, the last one 100"),
        ("steps", [5, 50], "rising whole percentages, the last one 100"),
        ("steps", [], "rising whole percentages, the last one 100"),
        ("steps", "5,100", "rising whole percentages, the last one 100"),
        ("steps", [0.5, 100], "rising whole percentages, the last one 100"),
        ("every_seconds", 0.5, f"a number from 1 to {wanted_change.LONGEST_SECONDS:,}"),
        ("every_seconds", "600", f"a number from 1 to {wanted_change.LONGEST_SECONDS:,}"),
        ("patience_seconds", wanted_change.LONGEST_SECONDS + 1, "a number from 1 to 31,536,000"),
        ("max_p99", 0, f"a number from {wanted_change.LEAST_TIMES} to 1,000"),
        ("max_p99", float("inf"), f"a number from {wanted_change.LEAST_TIMES} to 1,000"),
        ("max_errors", 1.1, "a share from 0 to 1"),
        ("min_agreement", True, "a share from 0 to 1"),
        ("min_images", 0, "a whole number from 1 to 1,000,000,000"),
        ("min_images", 1.5, "a whole number from 1 to 1,000,000,000"),
    ],
)
def test_a_term_that_is_none_is_refused_with_what_it_must_be(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        read_canary_terms({name: value})
    assert (error.value.detail, error.value.pointer) == (f"{name} must be {wanted}", f"/{name}")
