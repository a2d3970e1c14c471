"""Memory that ran out is told from other errors, and given back while nobody captures a graph."""

import threading

import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import OutOfMemory

torch = deferred("torch")
memory = deferred("worker.models.memory")
devices = deferred("worker.models.devices")
lost_device = deferred("worker.models.lost_device")
pytestmark = pytest.mark.xdist_group("torch")


class OfOnnx(Exception):
    """As onnxruntime's, which are no RuntimeErrors."""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (OfOnnx("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 8"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("no"), False),
        (SystemExit("CUDA error: out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: BaseException, *, is_memory: bool) -> None:
    assert memory.is_out_of_memory(error) is is_memory
    with pytest.raises(OutOfMemory if is_memory else type(error)), memory.raising_out_of_memory("cpu"):
        raise error


def test_nothing_is_given_back_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back = threading.Event()
    monkeypatch.setattr(torch.cuda, "empty_cache", given_back.set)
    with devices.device_lock("cuda"):  # as whoever captures has it
        thread = threading.Thread(target=memory.give_back_cached, args=("cuda",))
        thread.start()
        assert not given_back.wait(0.1)
    thread.join()
    assert given_back.is_set()


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (None, False),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
    ],
)
def test_any_models_error_ends_the_process_where_the_gpu_is_lost(
    monkeypatch: pytest.MonkeyPatch, answer: Exception | None, *, ends: bool
) -> None:
    def ones(*_: object, **__: object) -> object:
        if answer is not None:
            raise answer
        return torch.zeros(1)

    ended = list[int]()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr("torch.ones", ones)
    monkeypatch.setattr(lost_device.os, "_exit", ended.append)
    monkeypatch.setattr(lost_device.logging, "shutdown", lambda: None)
    with pytest.raises(OfOnnx), memory.raising_out_of_memory("cuda"):
        raise OfOnnx("a kernel failed")
    assert bool(ended) is ends
