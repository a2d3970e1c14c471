"""How many images that take long to decode a worker has room for."""

from collections.abc import Collection
from dataclasses import dataclass

from shared.queue import keys


@dataclass(slots=True)
class HeavyRoom:
    """Room for so many more heavy images. `lanes` are those that gave this worker such images last."""

    room: int
    lanes: Collection[str] = ()

    def most_from(self, lane: str, count: int) -> int:
        """Return how many entries to lease from a lane when `count` are wanted."""
        return min(count, self.room) if self._may_be_heavy(lane) else count

    def take(self, lane: str, count: int) -> None:
        """Count entries that were leased from a lane against the room, where they may be heavy."""
        if self._may_be_heavy(lane):
            self.room -= count

    def skipped_lanes(self) -> tuple[str, ...]:
        """Return rotate's arguments: a part of the names of lanes to skip, then whole names."""
        return () if self.room > 0 else (keys.heavy_mark(), *self.lanes)

    def _may_be_heavy(self, lane: str) -> bool:
        return lane in self.lanes or keys.heavy_mark() in lane


UNLIMITED_ROOM = HeavyRoom(room=1_000_000)
"""For a worker that does not count heavy images."""
