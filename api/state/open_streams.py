"""How often event streams read what they follow: the more of them an owner has open, the less often each reads.

A read costs Redis a command, and of a batch Postgres a query. So what an owner's streams cost in all is bounded,
however many it opens, and one that has few is told as soon as one alone.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import Owner

POLL: Final = timedelta(milliseconds=500)
"""How often a stream reads where its owner has few."""
APART: Final = timedelta(milliseconds=10)
"""Time between two reads of one owner's streams in one gateway, on average, where it has many."""


class OpenStreams:
    """Counts the open event streams of each owner in this gateway."""

    def __init__(self) -> None:
        self._open: Counter[Owner] = Counter()

    @contextmanager
    def one_more(self, owner: Owner) -> Iterator[None]:
        """Count a stream of this owner's for the block."""
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    def pause(self, owner: Owner) -> timedelta:
        """Return how long one of its streams waits now before it reads again; whole multiples of POLL."""
        return POLL * max(1, -(-self._open[owner] * APART // POLL))
