"""Forward passes as graphs, on a stand-in for CUDA: each image its own scores, and a capture that fails spoils none."""

import gc
import logging
import weakref
from typing import Any

import numpy as np
import pytest

from shared.domain.image import ImageSpec
from tests.support.deferred_imports import deferred
from worker.models.metadata.model_metadata import Activation, Precision

torch = deferred("torch")
stand_in = deferred("tests.support.stand_in_gpu")
forward_module = deferred("worker.models.gpu.forward")
streams = deferred("worker.models.gpu.streams")
readers = deferred("worker.models.outputs.readers")
process_settings = deferred("worker.models.process_settings")
# One process runs them all: only that one imports torch.
pytestmark = pytest.mark.xdist_group("torch")

SIDE, CLASSES = 8, 5


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, logger="worker.models.gpu.graphs")
    monkeypatch.setattr(streams, "_threads", type(streams._threads)())
    forward_module._forward_stream.cache_clear()
    yield stand_in.install(monkeypatch)
    forward_module._forward_stream.cache_clear()


def on_gpu(forward: Any, **options: Any) -> Any:
    return forward_module.GpuForward(
        forward,
        spec=ImageSpec(None, (SIDE, SIDE)),
        device="cpu",
        reader=readers.ScoresReader(activation=Activation.SOFTMAX),
        precision=Precision.FP32,
        **options,
    )


def network() -> Any:
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, CLASSES)
    return torch.nn.Sequential(*layers).eval()


def noise(count: int) -> list[Any]:
    return list(np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.__dict__["reason"] for one in caplog.records if one.getMessage() == "graph_not_captured"]


@pytest.mark.parametrize("batch_size", [1, 6, 8])
def test_graphs_give_each_image_its_own_scores(captures: Any, batch_size: int) -> None:
    forward, images = on_gpu(network()), noise(19)
    eager = forward.outputs(images)
    forward.prepare(batch_size)
    assert captures.replayed == forward._graphs.largest.bit_length() + (batch_size == 6)  # compared once each
    for count in (1, 2, 3, 5, 7, 8, 19):
        before = captures.replayed
        np.testing.assert_allclose(forward.outputs(images[:count]), eager[:count], atol=1e-6)
        assert captures.replayed == before - (-count // batch_size)


def test_a_fixed_batch_size_has_one_graph(captures: Any) -> None:
    forward, images = on_gpu(network(), batch_size=4), noise(7)
    eager = forward.outputs(images)
    forward.prepare(64)
    assert captures.ended == 1
    np.testing.assert_allclose(forward.outputs(images), eager, atol=1e-6)


def by_value(scores: Any) -> Any:
    return scores if scores.sum().item() > -1e9 else -scores


def by_found_positions(scores: Any) -> Any:
    return scores + len(scores.nonzero()) * 0


def by_mask(scores: Any) -> Any:
    return scores + scores[scores > 0].sum() * 0


@pytest.mark.parametrize("last", [by_value, by_found_positions, by_mask])
def test_a_model_that_waits_for_the_device_is_not_even_captured(
    captures: Any, caplog: pytest.LogCaptureFixture, last: Any
) -> None:
    module, images = network(), noise(5)
    forward = on_gpu(lambda batch: last(module(batch)))
    forward.prepare(8)
    assert captures.ended == 0
    assert captures.underway == set()
    assert ["waits for the device" in reason for reason in refusals(caplog)] == [True]
    np.testing.assert_allclose(forward.outputs(images), on_gpu(module).outputs(images), atol=1e-6)


@pytest.mark.usefixtures("captures")
def test_numbers_may_index_in_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    module, order = network(), torch.arange(CLASSES).flip(0)
    forward = on_gpu(lambda batch: module(batch)[:, order])
    forward.prepare(4)
    assert refusals(caplog) == []
    assert forward._graphs.largest == 4


def test_after_a_failed_capture_the_next_version_has_its_graphs(
    captures: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the check before it doesn't see, such as a library that waits by itself.
    monkeypatch.setattr(type(on_gpu(network())._graphs), "_check", lambda *_: None)
    module = network()
    failing = on_gpu(lambda batch: by_value(module(batch)))
    failing.prepare(4)
    assert refusals(caplog) == ["operation not permitted when stream is capturing"]
    assert failing._graphs.largest is None
    captures.empty_cache()
    other = on_gpu(network())
    other.prepare(4)
    assert other._graphs.largest == 4


def test_a_capture_that_another_thread_broke_off_is_made_again(captures: Any, caplog: pytest.LogCaptureFixture) -> None:
    captures.failures.append(RuntimeError("operation failed due to a previous error during capture"))
    forward = on_gpu(network())
    forward.prepare(4)
    assert refusals(caplog) == []
    assert forward._graphs.largest == 4


def test_without_memory_for_a_graph_none_is_kept(captures: Any) -> None:
    module = network()

    def forward(batch: Any) -> Any:
        # The largest is captured, and the next one finds no memory.
        if captures.underway and len(batch) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return module(batch)

    one = on_gpu(forward)
    gc.disable()
    try:
        with pytest.raises(torch.OutOfMemoryError) as raised:
            one.prepare(8)
        error = weakref.ref(raised.value)
        del raised
        assert error() is None  # nor does it hold itself, with what the failed pass has allocated
    finally:
        gc.enable()
    assert one._graphs.largest is None
    assert captures.underway == set()


@pytest.mark.usefixtures("captures")
def test_a_graph_that_answers_otherwise_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    images, counts = noise(3), [0]
    module = network()

    def counting(batch: Any) -> Any:
        counts[0] += 1
        return module(batch) * (1 if counts[0] % 2 else -1)  # Python between the operations, which no graph has

    forward = on_gpu(counting)
    forward.prepare(2)
    assert refusals(caplog) == ["its graph gives other scores"]
    assert forward._graphs.largest is None
    assert forward.outputs(images).shape == (3, CLASSES)
