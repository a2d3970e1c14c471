"""How much of Redis uploaded files may take: one owner's, and all together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.settings import Files

# So much of what may be uploaded in a second may come at once.
AHEAD: Final = timedelta(seconds=10)
# One owner never takes all that there is for everybody.
OWNERS_PART: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What holds now, in bytes and files. `max_bytes_of_all` is None where Redis has no limit."""

    max_files: int
    max_bytes: int
    max_bytes_of_all: int | None
    max_bytes_a_second: int


def quota(settings: Files, *, memory: int) -> Quota:
    """Return what holds where Redis may take `memory` bytes; 0: as many as there are."""
    of_all = int(memory * settings.memory_share) if memory else None
    return Quota(
        max_files=settings.max_files,
        max_bytes=settings.max_bytes if of_all is None else min(settings.max_bytes, int(of_all * OWNERS_PART)),
        max_bytes_of_all=of_all,
        max_bytes_a_second=settings.max_bytes_a_second,
    )
