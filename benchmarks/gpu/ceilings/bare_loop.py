"""JPEG in, scores out, in one process with nothing around it: threads with a stream each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch

from benchmarks.figures.report import Figure
from benchmarks.gpu.architectures import architecture, make_model
from benchmarks.gpu.ceilings.decoding import DeviceDecoder
from benchmarks.gpu.ceilings.timing import threads_images_per_second

_BATCH: Final = 64
_BATCH_ON_CPU: Final = 8
_THREADS: Final = (4, 2, 1, 8)
_TIMES: Final = 2
"""How much longer it runs than other ceilings: it is what Darkroom is compared with."""


def measure_bare_loop(name: str, images: Sequence[bytes], *, seconds: float) -> Iterator[Figure]:
    """Yield one figure, of the best number of threads, the others beside it."""
    step = _device_step(name, images) if torch.cuda.is_available() else _processor_step(name, images)
    numbers = _THREADS if torch.cuda.is_available() else (1,)
    found = {n: threads_images_per_second(step, threads=n, seconds=seconds * _TIMES) for n in numbers}
    best = max(found, key=lambda threads: found[threads])
    how = "nvJPEG and fp16" if torch.cuda.is_available() else "Pillow and fp32 on the CPU"
    yield Figure(
        name=f"{name}: bare loop, JPEG in, scores out, {how}, threads: {best}",
        value=found[best],
        unit="images/s",
        beside=", ".join(f"{threads}: {speed:,.0f}" for threads, speed in sorted(found.items()) if threads != best),
        detail={str(threads): speed for threads, speed in found.items()},
    )


def _device_step(name: str, images: Sequence[bytes]) -> Callable[[int], int]:
    """Return a step of one micro-batch on the thread's own stream."""
    decoder = DeviceDecoder(architecture(name).preset)
    files = decoder.files(images)
    model = make_model(name).to("cuda").half().to(memory_format=torch.channels_last)
    streams = [torch.cuda.Stream() for _ in range(max(_THREADS))]  # type: ignore[no-untyped-call]

    def step(number: int) -> int:
        first = number * _BATCH // 2
        part = [files[(first + offset) % len(files)] for offset in range(_BATCH)]
        with torch.inference_mode(), torch.cuda.stream(streams[number]):
            model(decoder.decode_normalised(part)).float().softmax(dim=1).cpu()
        return len(part)

    return step


def _processor_step(name: str, images: Sequence[bytes]) -> Callable[[int], int]:
    """Return the same on the CPU."""
    preset, model = architecture(name).preset, make_model(name).to(memory_format=torch.channels_last)

    def step(number: int) -> int:
        part = [images[(number + offset) % len(images)] for offset in range(_BATCH_ON_CPU)]
        with torch.inference_mode():
            model(preset.batch([preset.pixels(image) for image in part])).softmax(dim=1)
        return len(part)

    return step
