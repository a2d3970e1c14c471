"""How much one API key may: images a second, and unfinished images at a time."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`rate`: images a second; `max_inflight`: the owner's unfinished images at a time; None: no limit."""

    key: KeyId | None = None
    rate: float | None = None
    max_inflight: int | None = None

    @property
    def burst(self) -> int:
        """How many images may come at once: a second's worth, one at least."""
        return max(1, math.ceil(self.rate)) if self.rate else 0

    @property
    def interval(self) -> timedelta:
        """How long one image uses up."""
        return timedelta(seconds=1 / self.rate) if self.rate else timedelta(0)

    @property
    def window(self) -> timedelta:
        """How long a whole burst uses up."""
        return self.burst * self.interval


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a key's limits; None where there is no such limit."""

    images: int | None = None
    until_all: timedelta = timedelta(0)
    """When as many images are left again as may come at once."""
    unfinished: int | None = None
