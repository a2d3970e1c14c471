"""Types of settings' values: positive numbers, shares, durations."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
"""A part of a whole, over 0 and up to 1."""


def _seconds_or_longer_form(value: object) -> object:
    """Return `10`, `0.5` and `10s` as a number of seconds; leave longer forms (`PT5M`, `00:05:00`) to pydantic."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?s?", value.strip(), re.ASCII):
        return float(value.strip().rstrip("s"))
    return value


Duration = Annotated[timedelta, BeforeValidator(_seconds_or_longer_form)]


def _at_least_a_day(duration: timedelta) -> timedelta:
    if duration < timedelta(days=1):
        raise ValueError("must be a day or more")
    return duration


LongDuration = Annotated[Duration, AfterValidator(_at_least_a_day)]
"""A duration of a day or more: `90` is 90 seconds, and never what somebody means by a retention."""
