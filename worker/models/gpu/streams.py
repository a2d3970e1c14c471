"""The CUDA stream of each thread: what one thread copies and decodes runs beside what the others do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_threads = threading.local()


@contextmanager
def thread_stream(device: str) -> Iterator[torch.cuda.Stream]:
    """Make the thread's own stream of the device the current one for the block, in inference mode."""
    streams: dict[str, torch.cuda.Stream] = _threads.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream = streams[device]
    with torch.inference_mode(), torch.cuda.stream(stream):
        yield stream
