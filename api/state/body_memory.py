"""Limits the memory that bodies of open requests take, for all together and for each owner.

A body with a declared length is counted before its first byte is read, any other as it arrives. A bulk upload holds a
chunk of small images and one large image at a time.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from shared.domain.errors import GatewayBusy, TooMuchInHand
from shared.domain.identifiers import Owner
from shared.settings import Intake

RETRY_AFTER: Final = timedelta(seconds=1)
POLL: Final = timedelta(milliseconds=50)


# What a bulk upload holds always: its chunk of small images and read buffers.
BULK_BASE: Final = 1024 * 1024


def largest_in_hand(limits: Intake) -> int:
    """Return how many bytes one request holds at most: an image as base64 is a third larger."""
    return limits.max_image_bytes * 3 // 2 + BULK_BASE


class BodyMemory:
    """Counts the bytes that bodies take in this gateway, in all and by owner."""

    def __init__(self, limits: Intake) -> None:
        # One request must always fit, however large images may be.
        largest = largest_in_hand(limits)
        self.most = max(limits.max_bytes_in_hand, largest)
        self.most_of_owner = max(limits.max_owner_bytes_in_hand, largest)
        self.bytes = 0
        self._by_owner: dict[Owner, int] = {}
        self._large: Counter[Owner] = Counter()

    def hold(self, owner: Owner) -> "MemoryHold":
        """Return an empty hold for one request of this owner's; leaving it as a context gives all bytes back."""
        return MemoryHold(self, owner)

    def take(self, owner: Owner, size: int) -> None:
        """Count bytes; raises TooMuchInHand at the owner's limit, GatewayBusy at the limit of all."""
        of_owner = self._by_owner.get(owner, 0)
        if of_owner + size > self.most_of_owner:
            raise TooMuchInHand(size=size, in_hand=of_owner, allowed=self.most_of_owner, retry_after=RETRY_AFTER)
        if self.bytes + size > self.most:
            raise GatewayBusy(size=size, in_hand=self.bytes, allowed=self.most, retry_after=RETRY_AFTER)
        self._by_owner[owner] = of_owner + size
        self.bytes += size

    def take_large(self, owner: Owner, size: int) -> None:
        """Count a large item of a bulk upload; raises like `take`, at three quarters of the limits.

        An owner's only one, and the only one of all, always passes, so that waiting uploads never block each other.
        """
        of_owner = self._by_owner.get(owner, 0)
        if self._large[owner] and of_owner + size > self.most_of_owner * 3 // 4:
            raise TooMuchInHand(size=size, in_hand=of_owner, allowed=self.most_of_owner, retry_after=RETRY_AFTER)
        if self._large and self.bytes + size > self.most * 3 // 4:
            raise GatewayBusy(size=size, in_hand=self.bytes, allowed=self.most, retry_after=RETRY_AFTER)
        self._large[owner] += 1
        self._by_owner[owner] = of_owner + size
        self.bytes += size

    def give_large_back(self, owner: Owner, size: int) -> None:
        """Stop counting a large item."""
        self._large[owner] -= 1
        if not self._large[owner]:
            del self._large[owner]
        self.give_back(owner, size)

    def give_back(self, owner: Owner, size: int) -> None:
        """Stop counting bytes."""
        self.bytes -= size
        left = self._by_owner[owner] - size
        if left:
            self._by_owner[owner] = left
        else:
            del self._by_owner[owner]


class MemoryHold:
    """The bytes that one request's body takes in memory."""

    __slots__ = ("_all", "_large", "_owner", "size")

    def __init__(self, all_in_hand: BodyMemory, owner: Owner) -> None:
        self._all = all_in_hand
        self._owner = owner
        self._large = 0
        self.size = 0

    def __enter__(self) -> Self:
        """Return itself; nothing is counted yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give everything back."""
        self.shrink()
        if self.size:
            self._all.give_back(self._owner, self.size)
            self.size = 0

    def take(self, size: int) -> None:
        """Count so many bytes more; raises TooMuchInHand or GatewayBusy."""
        if size:
            self._all.take(self._owner, size)
            self.size += size

    async def reach(self, size: int, *, most: int) -> None:
        """Return when this request may hold `size` bytes; beyond what it holds it waits for room for `most`.

        For `most` at once: two uploads with half of what they need each would wait for each other for ever.
        """
        while size > self.size:
            large = most - self.size
            try:
                self._all.take_large(self._owner, large)
            except (TooMuchInHand, GatewayBusy):
                await asyncio.sleep(POLL.total_seconds())
            else:
                self._large = large
                self.size += large

    def shrink(self) -> None:
        """Give the large item's bytes back, once it has been passed on."""
        if self._large:
            self._all.give_large_back(self._owner, self._large)
            self.size -= self._large
            self._large = 0
