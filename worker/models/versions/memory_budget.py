"""The memory that the loaded versions of one process may take, over all its models; the least used make room.

A version counts with its weights and with what the process (on a GPU: torch on the device) had taken more of after its
warm-up than before. That is an estimate: other threads compute meanwhile, and memory that was freed is used again.
"""

import itertools
import logging
import threading
from typing import Final, NamedTuple, Protocol

from shared.cores import cores
from shared.domain.identifiers import VersionKey
from shared.memory import machine_memory
from worker.models.devices import device_memory, is_gpu
from worker.process.garbage import collect_dropped

log = logging.getLogger(__name__)

SHARE_OF_MACHINE: Final = 0.5
"""Of a machine's memory, for all its processes together: the rest is the stores', the gateway's and the batches'."""
SHARE_OF_GPU: Final = 0.8
"""Of a GPU's memory, whose one process has it to itself; the rest is the images'."""

use: Final = itertools.count(1)
"""Counts the uses of versions in this process: the higher, the later."""


class Use(NamedTuple):
    """One loaded version: when it was last used, its bytes, and whether it could be loaded again."""

    last: int
    bytes: int
    key: VersionKey
    is_pinned: bool


class Holder(Protocol):
    """Who holds loaded versions: one model's cache."""

    def uses(self) -> list[Use]:
        """Return every version that is loaded."""

    def unload(self, key: VersionKey) -> bool:
        """Drop a version to make room; False where it is not loaded any more."""


class MemoryBudget:
    """Counts what the caches of one process hold, and unloads the least recently used version over the limit.

    A version under which a batch runs is dropped too; the batch's reference keeps it in memory until the batch ends.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes."""
        self.limit = limit
        self._lock = threading.Lock()
        self._holders: list[Holder] = []

    def join(self, holder: Holder) -> None:
        """Count what a cache holds from now on."""
        with self._lock:
            self._holders.append(holder)

    def leave(self, holder: Holder) -> None:
        """Count it no more."""
        with self._lock:
            if holder in self._holders:
                self._holders.remove(holder)

    def make_room(self, newest: VersionKey, *, of: Holder) -> None:
        """Unload until the rest fits, but neither a cache's `newest` version nor what can't be loaded again.

        Versions of two models may have the same key: those that were registered from the same run.
        """
        dropped = False
        with self._lock:
            held = sorted((one, place) for place, holder in enumerate(self._holders) for one in holder.uses())
            total = sum(one.bytes for one, _ in held)
            for one, place in held:
                if total <= self.limit:
                    break
                holder = self._holders[place]
                is_newest = holder is of and one.key == newest
                if not is_newest and not one.is_pinned and holder.unload(one.key):
                    total -= one.bytes
                    dropped = True
        if dropped:
            # A graph refers to itself: without this its weights would stay for long.
            collect_dropped()


def default_limit(device: str) -> int:
    """Return what the versions of one process may take: of a GPU most, else half the machine's, divided by its cores.

    There is a process a core. A container's limit of memory counts as the machine's.
    """
    if is_gpu(device):
        return int(device_memory(device)["total"] * SHARE_OF_GPU)
    return int(machine_memory() * SHARE_OF_MACHINE / cores())
