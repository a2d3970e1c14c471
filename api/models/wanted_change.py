"""Reads from a JSON object what a change of what serves is to be; every function raises InvalidParameter."""

import re
from collections.abc import Mapping
from typing import Any, Final

from api.uploads.small_objects import is_whole
from shared.domain.canary import is_steps
from shared.domain.canary_changes import CanaryTerms
from shared.domain.errors import InvalidParameter
from shared.domain.model_changes import VERSION
from shared.domain.written_numbers import is_number

SHORTEST_SECONDS: Final = 1
LEAST_TIMES: Final = 0.01
LONGEST_SECONDS: Final = 365 * 86_400
MOST_TIMES: Final = 1000
MOST_IMAGES: Final = 10**9


def read_text(given: Mapping[str, Any], name: str) -> str | None:
    """Return a version as it is written, `latest` or a number; None where it is null or missing."""
    value = given.get(name)
    if value is not None and not (isinstance(value, str) and re.fullmatch(VERSION, value)):
        raise _wrong(name, "a version's number, as a text, or latest")
    return value


def read_percent(given: Mapping[str, Any]) -> int:
    """Return a share in per cent."""
    value = given.get("percent")
    if not is_whole(value) or not 0 <= value <= 100:  # noqa: PLR2004  per cent
        raise _wrong("percent", "a whole number from 0 to 100")
    return int(value)


def read_canary_terms(given: Mapping[str, Any]) -> CanaryTerms:
    """Return a canary's terms; what is null or missing is as `darkroom models canary` has it."""
    usual = CanaryTerms()
    steps = given.get("steps")
    if isinstance(steps, list):
        steps = [int(one) if is_whole(one) else one for one in steps]
    if steps is not None and not (isinstance(steps, list) and is_steps(tuple(steps))):
        raise _wrong("steps", "rising whole percentages, the last one 100")
    return CanaryTerms(
        steps=usual.steps if steps is None else tuple(steps),
        every=_number(given, "every_seconds", usual.every, SHORTEST_SECONDS, LONGEST_SECONDS),
        max_errors=_share(given, "max_errors", usual.max_errors) or 0.0,
        max_p99=_number(given, "max_p99", usual.max_p99, LEAST_TIMES, MOST_TIMES),
        min_agreement=_share(given, "min_agreement", usual.min_agreement),
        min_images=_count(given, "min_images", usual.min_images),
        patience=_number(given, "patience_seconds", usual.patience, SHORTEST_SECONDS, LONGEST_SECONDS),
    )


def _number(given: Mapping[str, Any], name: str, usual: float, least: float, most: float) -> float:
    value = given.get(name)
    if value is None:
        return usual
    if not is_number(value) or not least <= value <= most:
        raise _wrong(name, f"a number from {least:,} to {most:,}")
    return float(value)


def _share(given: Mapping[str, Any], name: str, usual: float | None) -> float | None:
    value = given.get(name)
    if value is None:
        return usual
    if not is_number(value) or not 0 <= value <= 1:
        raise _wrong(name, "a share from 0 to 1")
    return float(value)


def _count(given: Mapping[str, Any], name: str, usual: int) -> int:
    value = given.get(name)
    if value is None:
        return usual
    if not is_whole(value) or not 0 < value <= MOST_IMAGES:
        raise _wrong(name, f"a whole number from 1 to {MOST_IMAGES:,}")
    return int(value)


def _wrong(name: str, wanted: str) -> InvalidParameter:
    return InvalidParameter(detail=f"{name} must be {wanted}", pointer=f"/{name}")
