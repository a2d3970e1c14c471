"""How much of Redis' memory uploaded files may take: those of one owner, and all together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.settings import Files

# The burst: so many seconds' worth of bytes may be uploaded at once.
AHEAD: Final = timedelta(seconds=10)
# One owner takes at most this share of what all owners may.
OWNERS_PART: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The limits that apply now, in bytes and files. `max_bytes_of_all` is None where Redis has no memory limit."""

    max_files: int
    max_bytes: int
    max_bytes_of_all: int | None
    max_bytes_a_second: int


def quota(settings: Files, *, memory: int) -> Quota:
    """Return the limits that apply if Redis may use `memory` bytes; 0 is no limit."""
    of_all = int(memory * settings.memory_share) if memory else None
    return Quota(
        max_files=settings.max_files,
        max_bytes=settings.max_bytes if of_all is None else min(settings.max_bytes, int(of_all * OWNERS_PART)),
        max_bytes_of_all=of_all,
        max_bytes_a_second=settings.max_bytes_a_second,
    )
