"""Decoding and resizing JPEGs: with Pillow by threads, with nvJPEG by batch size."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import torch
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_jpeg

from benchmarks.figures.report import Figure
from benchmarks.gpu.ceilings.timing import images_per_second, threads_images_per_second
from benchmarks.stack.preset import Preset

_THREADS: Final = (1, 2, 4, 8, 16)
_BATCHES: Final = (64, 16, 128)


def measure_pillow(images: Sequence[bytes], preset: Preset, *, seconds: float) -> Iterator[Figure]:
    """Yield one figure: images a second of the most threads, fewer ones beside it."""
    cores = os.cpu_count() or 1

    def decode_one(number: int) -> int:
        preset.pixels(images[number % len(images)])
        return 1

    numbers = [threads for threads in _THREADS if threads <= cores]
    found = {n: threads_images_per_second(decode_one, threads=n, seconds=seconds) for n in numbers}
    most = max(found)
    yield Figure(
        name=f"Pillow: decode, resize, crop, threads: {most}",
        value=found[most],
        unit="images/s",
        beside=", ".join(f"{threads}: {speed:,.0f}" for threads, speed in found.items() if threads != most),
        detail={str(threads): speed for threads, speed in found.items()},
    )


def measure_nvjpeg(images: Sequence[bytes], preset: Preset, *, seconds: float) -> Iterator[Figure]:
    """Yield a figure a batch size: decoded on the device, and resized and normalised there too."""
    decoder = DeviceDecoder(preset)
    files = decoder.files(images)
    for batch in _BATCHES:
        part = [files[number % len(files)] for number in range(batch)]
        decoded = images_per_second(partial(decoder.decode, part), images=batch, seconds=seconds)
        resized = images_per_second(partial(decoder.decode_normalised, part), images=batch, seconds=seconds)
        yield Figure(
            name=f"nvJPEG in batches of {batch}, resized and normalised",
            value=resized,
            unit="images/s",
            beside=f"decoded only: {decoded:,.0f}",
            detail={"batch": batch, "decoded": decoded, "resized": resized},
        )


class DeviceDecoder:
    """Decodes JPEGs of one size with nvJPEG, resizes with antialias, crops and normalises, all on the device."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        shape = (1, -1, 1, 1)
        self._mean = torch.tensor(preset.mean, device="cuda").view(shape) * 255
        self._std = torch.tensor(preset.std, device="cuda").view(shape) * 255

    @staticmethod
    def files(images: Sequence[bytes]) -> list[torch.Tensor]:
        """Return encoded images as tensors."""
        return [torch.frombuffer(bytearray(image), dtype=torch.uint8) for image in images]

    @staticmethod
    def decode(files: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return (3, height, width) uint8 on the device for each."""
        decoded: list[torch.Tensor] = decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda")
        return decoded

    def decode_normalised(self, files: list[torch.Tensor]) -> torch.Tensor:
        """Return the model's input of encoded images."""
        return self._normalised(self.decode(files))

    def _normalised(self, decoded: list[torch.Tensor]) -> torch.Tensor:
        """Return (images, 3, size, size) float16, channels last."""
        pictures = torch.stack(decoded).float()
        height, width = pictures.shape[-2:]
        scale = self._preset.resize_size / min(height, width)
        size = (round(height * scale), round(width * scale))
        resized = functional.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
        crop = self._preset.crop_size
        top, left = (size[0] - crop) // 2, (size[1] - crop) // 2
        cropped = resized[..., top : top + crop, left : left + crop]
        return ((cropped - self._mean) / self._std).half().to(memory_format=torch.channels_last)
