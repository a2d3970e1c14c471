"""Limits of an API key: images a second, and unfinished images at a time."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`rate` is images a second, `max_inflight` the owner's unfinished images at a time; None is no limit."""

    key: KeyId | None = None
    rate: float | None = None
    max_inflight: int | None = None

    @property
    def burst(self) -> int:
        """How many images may come at once: those of one second, at least one; 0 without a rate."""
        return max(1, math.ceil(self.rate)) if self.rate else 0

    @property
    def interval(self) -> timedelta:
        """Time between two images at this rate; zero without one."""
        return timedelta(seconds=1 / self.rate) if self.rate else timedelta(0)

    @property
    def window(self) -> timedelta:
        """Time in which a whole burst is replenished."""
        return self.burst * self.interval


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a caller may still use of a key's limits; None where there is no such limit."""

    images: int | None = None
    until_all: timedelta = timedelta(0)
    """Time until a whole burst of images may come again."""
    unfinished: int | None = None
