"""A stand-in for CUDA on a CPU: streams that do nothing, and graphs that compute the captured operations again.

As on a device, a graph keeps the tensors of its capture at their places, knows nothing of Python between the
operations, and can't hold one that waits. After a capture that failed, torch 2.11 counts it as under way until it is
ended by hand: then giving back memory raises, and with it each later capture.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = "cpu"
_WAIT = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select")


class Captures:
    """What is under way, and how many graphs were captured and replayed."""

    def __init__(self) -> None:
        self.underway: set[object] = set()
        self.ended = 0
        self.replayed = 0
        self.failures: list[Exception] = []
        """Raised by the captures to come, one each, as where another thread breaks one off."""

    def empty_cache(self) -> None:
        if self.underway:
            raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    def end_by_hand(self, _device: int, pool: object) -> None:
        if pool not in self.underway:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.underway.remove(pool)


class _Stream:
    device_index = 0

    def record_event(self) -> None: ...
    def wait_event(self, _event: None) -> None: ...
    def synchronize(self) -> None: ...


class _Event:
    def record(self, _stream: _Stream) -> None: ...
    def synchronize(self) -> None: ...


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self.broken = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() in _WAIT:
            self.broken = True
            raise RuntimeError("operation not permitted when stream is capturing")
        found = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, found))
        return found


class _CUDAGraph:
    def __init__(self, captures: Captures) -> None:
        self.captures = captures
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        self.captures.replayed += 1
        for func, args, kwargs, place in self.steps:
            found = func(*args, **kwargs)
            if isinstance(place, torch.Tensor):
                place.copy_(found)


@contextlib.contextmanager
def _graph(captures: Captures, graph: _CUDAGraph, pool: object) -> Iterator[None]:
    captures.empty_cache()
    recorder = _Recorder()
    captures.underway.add(pool)
    try:
        with recorder:
            yield
            if captures.failures:
                recorder.broken = True
    finally:
        if recorder.broken:
            raise captures.failures.pop() if captures.failures else RuntimeError("previous error during capture")
        captures.underway.remove(pool)
    captures.ended += 1
    graph.steps = recorder.steps


def install(monkeypatch: pytest.MonkeyPatch) -> Captures:
    """Put the stand-in in place of `torch.cuda` for a test; models compute on DEVICE."""
    captures, cuda = Captures(), torch.cuda
    real_empty = torch.empty

    def graph(graph: _CUDAGraph, *, pool: object, stream: object, capture_error_mode: str) -> Any:
        assert isinstance(stream, _Stream)
        assert capture_error_mode == "thread_local"
        return _graph(captures, graph, pool)

    def empty(*size: Any, **options: Any) -> torch.Tensor:
        options.pop("pin_memory", None)
        return real_empty(*size, **options)

    monkeypatch.setattr(cuda, "Stream", lambda *_, **__: _Stream())
    monkeypatch.setattr(cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(cuda, "Event", lambda **_: _Event())
    monkeypatch.setattr(cuda, "CUDAGraph", lambda: _CUDAGraph(captures))
    monkeypatch.setattr(cuda, "graph", graph)
    monkeypatch.setattr(cuda, "graph_pool_handle", object)
    monkeypatch.setattr(cuda, "empty_cache", captures.empty_cache)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", captures.end_by_hand)
    monkeypatch.setattr(torch, "empty", empty)
    return captures
