"""What a receiver of webhooks reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Every POST received, in order; item n of each list belongs to the nth.

    `arrived` is of the monotonic clock, which all processes of a machine share; `milliseconds` are from the
    prediction's `completed_at` until then.
    """

    ids: list[str]
    """Of the deliveries: their `webhook-id`."""
    predictions: list[str]
    arrived: list[float]
    milliseconds: list[float]
    processor_seconds: float

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what a receiver wrote."""
        return cls(**orjson.loads(path.read_bytes()))
