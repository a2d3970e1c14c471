"""Forward passes by batch size and precision, their input on the device already."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch

from benchmarks.figures.report import Figure
from benchmarks.gpu.architectures import architecture, make_model
from benchmarks.gpu.ceilings.timing import images_per_second

_BATCHES: Final = (64, 1, 256, 16)
"""The product's default first."""
_BATCHES_ON_CPU: Final = (8, 1)


def measure_forward(name: str, *, seconds: float) -> Iterator[Figure]:
    """Yield a figure a batch size: images a second of the fastest precision, the others beside it."""
    for batch in _BATCHES if torch.cuda.is_available() else _BATCHES_ON_CPU:
        found = dict(_by_precision(name, batch=batch, seconds=seconds))
        fastest = max(found, key=lambda precision: found[precision])
        yield Figure(
            name=f"{name}: forward of {batch}, {fastest}",
            value=found[fastest],
            unit="images/s",
            beside=", ".join(f"{precision} {speed:,.0f}" for precision, speed in found.items() if precision != fastest),
            detail={"batch": batch, **found},
        )


@torch.inference_mode()
def _by_precision(name: str, *, batch: int, seconds: float) -> Iterator[tuple[str, float]]:
    side = architecture(name).preset.crop_size
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_model(name).to(device)
    images = torch.randn(batch, 3, side, side, device=device)

    def speed(step: Callable[[], Any]) -> float:
        return images_per_second(step, images=batch, seconds=seconds)

    if device == "cpu":
        yield "fp32", speed(lambda: model(images))
        rearranged = images.to(memory_format=torch.channels_last)
        yield "fp32 channels-last", speed(lambda: model(rearranged))
        return
    for precision, allowed in (("fp32", False), ("TF32", True)):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        yield precision, speed(lambda: model(images))
    half = model.half().to(memory_format=torch.channels_last)
    halves = images.half().to(memory_format=torch.channels_last)
    yield "fp16 channels-last", speed(lambda: half(halves))
    yield "the same in a CUDA graph", speed(graph_of(half, halves))


def graph_of(model: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """Return what replays the forward pass of these images as a CUDA graph."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(images)
    replay: Callable[[], None] = graph.replay
    return replay
