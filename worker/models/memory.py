"""Memory that ran out, on a CPU or a GPU, as one error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from worker.models.devices import is_gpu
from worker.models.errors import OutOfMemory

_CPU_ALLOCATION_FAILED: Final = "can't allocate memory"
"""In the message of the plain RuntimeError that torch's CPU allocator raises."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory was short."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATION_FAILED in str(error)


def memory_in_use(device: str) -> int:
    """Return the bytes that this process has taken: of a GPU those that torch reserved, else its resident memory.

    0 where the system does not tell (`/proc`).
    """
    if is_gpu(device):
        return torch.cuda.memory_reserved(device)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def raising_out_of_memory(device: str) -> Iterator[None]:
    """Turn such an exception in the block into OutOfMemory, and give back what torch keeps of a GPU's memory."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if is_gpu(device):
            torch.cuda.empty_cache()
        raise OutOfMemory(str(error)) from error
