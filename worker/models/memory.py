"""Memory that ran out, on a CPU or a GPU, as one error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from worker.models.devices import device_lock, is_gpu
from worker.models.errors import OutOfMemory
from worker.models.lost_device import end_process_if_lost

_SAID: Final = (
    "can't allocate memory",  # torch's CPU allocator
    "CUDA error: out of memory",  # CUDA itself, as for pinned memory or a graph
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Failed to allocate memory for requested buffer",  # onnxruntime
)
"""In the messages of errors that have no type of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory was short."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, Exception) and any(said in str(error) for said in _SAID)


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


def give_back_cached(device: str) -> None:
    """Give a GPU back what torch keeps of its memory and no tensor has.

    With the device's lock, which the caller must not hold: while another thread captures a graph, torch raises.
    """
    with device_lock(device):
        torch.cuda.empty_cache()


@contextmanager
def raising_out_of_memory(device: str) -> Iterator[None]:
    """Turn such an exception in the block into OutOfMemory, and give back what torch keeps of a GPU's memory.

    After any other exception the process is ended if the GPU is lost to it, whatever library the model computes with.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            if is_gpu(device):
                end_process_if_lost(device, error)
            raise
        if is_gpu(device):
            give_back_cached(device)
        raise OutOfMemory(str(error) or type(error).__name__) from error
