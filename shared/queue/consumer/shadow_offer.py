"""Which images of a micro-batch's results move to the shadow's lane, in the step that ends their jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.model_route import ShadowTarget
from shared.domain.prediction import Status
from shared.queue.consumer.entries import Result

MOST_OUTPUT: Final = 64 * 1024
"""Bytes of a champion's output that its image carries, to be compared with the shadow's; a longer one is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOffer:
    """What the shadow takes, and how much may wait for it; `counted` is told how many images moved or found no room."""

    target: ShadowTarget
    most_entries: int
    most_bytes: int
    counted: Callable[[int, int], object]

    def arguments(self, results: Sequence[Result]) -> list[Any]:
        """Return the arguments of `finish.lua` for these results; none where no image of them is taken.

        Taken are images that the champion answered at the first attempt, of the shadow's share.
        """
        chosen = "".join("1" if self._takes(result) else "0" for result in results)
        if "1" not in chosen:
            return []
        target = self.target
        return [chosen, target.version, target.key, self.most_entries, self.most_bytes, MOST_OUTPUT]

    def taken(self, results: Sequence[Result]) -> int:
        """Return how many of these results' images would be taken, were there room."""
        return sum(self._takes(result) for result in results)

    def count(self, *, moved: int, full: int) -> None:
        """Count images that moved to the lane, and those for which it was full."""
        if moved or full:
            self.counted(moved, full)

    def _takes(self, result: Result) -> bool:
        entry = result.entry
        return (
            result.state == Status.SUCCEEDED
            and entry.version == self.target.champion
            and entry.attempts == 1
            and self.target.takes(entry.digest)
        )
