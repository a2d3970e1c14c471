"""Decodes colour JPEGs on a GPU (nvJPEG) to the pixels a model takes: a whole micro-batch with each call.

Not bit for bit what Pillow gives: nvJPEG's inverse DCT and chroma upsampling round in other places, and the resize is
torch's antialiased one. `worker.models.agreement` measures what that changes in a version's answers.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

import torch
from torch.nn.functional import interpolate, pad

from shared.domain.image import ImageSpec, Interpolation, Mode
from worker.decode.geometry import resized_size, window
from worker.decode.plain_jpegs import plain_jpeg_header
from worker.decode.sized_pixels import SizedPixels
from worker.models.gpu.streams import thread_stream
from worker.models.lost_device import end_process_if_lost
from worker.models.memory import give_back_cached

log = logging.getLogger(__name__)

_PIXELS_AT_ONCE: Final = 32 * 2**20
"""Pixels that one call decodes at most: their floats take 400 MB of the device's memory."""
_MOST_PIXELS: Final = 16 * 2**20
"""Larger images are decoded by Pillow."""
_MOST_PROGRESSIVE: Final = 2**20
"""Of progressive JPEGs, whose scans nvJPEG reads on the CPU one after another."""
_LUMA: Final = (0.299, 0.587, 0.114)
"""Red, green and blue in a grey value: ITU-R 601-2, as Pillow converts."""
_RESIZES: Final = {Interpolation.BILINEAR: 90, Interpolation.BICUBIC: 45}
"""Filters that torch resizes with as Pillow does, and how many times smaller they make a picture on a GPU.

The filter's weights for 32 columns lie in a block's 48 KB of shared memory: torch refuses 95 times, or 48.
"""

Decoder = Callable[[Sequence[bytes], str], list[torch.Tensor]]
"""Takes JPEG files and the device, gives uint8 (3, height, width) on it for each."""


class DeviceJpegs:
    """Decodes plain JPEGs for one model's input; threads may share it, and each uses its own stream."""

    takes_heavy = True

    def __init__(self, decoder: Decoder, spec: ImageSpec, *, device: str, max_pixels: int, sized: bool = False) -> None:
        self._decoder = decoder
        self._spec = spec
        self._device = device
        self._most = min(max_pixels, _MOST_PIXELS)
        self._sized = sized

    def decode(self, images: Sequence[bytes]) -> list[torch.Tensor | SizedPixels | None]:
        """Return for each image uint8 (channels, height, width) on the device, in the spec's input size.

        With `sized` the picture's size comes with each.

        None for an image that is no plain colour JPEG, is too large, or that nvJPEG refuses: Pillow may decode it.
        """
        found: list[torch.Tensor | SizedPixels | None] = [None] * len(images)
        sizes = [(number, size) for number, data in enumerate(images) if (size := self._accepted(data)) is not None]
        with thread_stream(self._device):
            for numbers in _portions(sizes):
                pixels = self._decoded([images[number] for number in numbers])
                for number, one in zip(numbers, pixels, strict=True):
                    found[number] = one
        return found

    def _accepted(self, data: bytes) -> tuple[int, int] | None:
        """Return the size of an image that is to be decoded here."""
        header = plain_jpeg_header(data)
        # Of grey JPEGs the hardware decoder gives wrong pixels for many sizes: 36 of 47 files (nvJPEG 13.0, H200).
        if header is None or not header.is_colour:
            return None
        size = header.width, header.height
        if header.width * header.height > (_MOST_PROGRESSIVE if header.progressive else self._most):
            return None
        resized = resized_size(size, self._spec)
        if resized != size and max(size) > _RESIZES[self._spec.interpolation] * min(resized):
            return None
        return size if resized[0] * resized[1] <= self._most else None

    def _decoded(self, images: Sequence[bytes]) -> "list[torch.Tensor | SizedPixels | None]":
        """Decode these; where nvJPEG refuses one or memory is short, leave all of them to Pillow.

        A refusal costs the decoder, which takes 0.1 s to make anew: looking for the image at fault would take longer
        than Pillow takes for a micro-batch.
        """
        try:
            return self._fitted_sized(self._decoder(images, self._device))
        except torch.OutOfMemoryError:
            reason, is_full = "the GPU's memory is full", True
        except RuntimeError as error:
            end_process_if_lost(self._device, error)
            reason, is_full = str(error).strip().partition("\n")[0][:300], False
        if is_full:  # outside the except block: the error's frames hold the pictures
            give_back_cached(self._device)
        log.info("jpegs_left_to_cpu", extra={"images": len(images), "reason": reason})
        return [None] * len(images)

    def _fitted_sized(self, pictures: Sequence[torch.Tensor]) -> "list[torch.Tensor | SizedPixels | None]":
        """Resize and crop pictures; with `sized` each has its size beside it, upright as their decoder leaves them."""
        fitted = self._fitted(pictures)
        if not self._sized:
            return list(fitted)
        sizes = [(picture.shape[-1], picture.shape[-2]) for picture in pictures]
        return [SizedPixels(one, size) for one, size in zip(fitted, sizes, strict=True)]

    def _fitted(self, pictures: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Resize and crop pictures, those of one size together."""
        groups: dict[torch.Size, list[int]] = {}
        for number, picture in enumerate(pictures):
            groups.setdefault(picture.shape, []).append(number)
        found: list[torch.Tensor] = list(pictures)
        for numbers in groups.values():
            together = self._in_mode(torch.stack([pictures[number] for number in numbers]))
            together = self._cropped(self._resized(together))
            if together.is_floating_point():
                together = together.round_().clamp_(0, 255).to(torch.uint8)
            for number, one in zip(numbers, together.unbind(), strict=True):
                found[number] = one
        return found

    def _in_mode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return RGB pictures in the spec's mode."""
        if self._spec.mode is not Mode.GREYSCALE:
            return pictures.flip(1) if self._spec.mode is Mode.BGR else pictures
        luma = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
        return (pictures.float() * luma).sum(dim=1, keepdim=True).round_()

    def _resized(self, pictures: torch.Tensor) -> torch.Tensor:
        height, width = pictures.shape[-2:]
        wanted = resized_size((width, height), self._spec)
        if wanted == (width, height):
            return pictures
        return interpolate(
            pictures.float(),
            size=(wanted[1], wanted[0]),
            mode=str(self._spec.interpolation),
            antialias=True,
            align_corners=False,
        )

    def _cropped(self, pictures: torch.Tensor) -> torch.Tensor:
        """Cut out the centre, with black around a picture that is smaller; or add the spec's border."""
        height, width = pictures.shape[-2:]
        left, top, right, bottom = window((width, height), self._spec).box
        border = max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height)
        if any(border):
            pictures = pad(pictures, border, value=self._spec.fill)
            left, top, right, bottom = left + border[0], top + border[2], right + border[0], bottom + border[2]
        return pictures[..., top:bottom, left:right]


def device_jpegs(spec: ImageSpec, *, device: str, max_pixels: int, sized: bool = False) -> DeviceJpegs | None:
    """Return what decodes JPEGs on this device; None where nothing can, or the spec's resize can't be done there."""
    if spec.resize_size is not None and spec.interpolation not in _RESIZES:
        return None
    decoder = nvjpeg()
    return None if decoder is None else DeviceJpegs(decoder, spec, device=device, max_pixels=max_pixels, sized=sized)


@cache
def nvjpeg() -> Decoder | None:
    """Return torchcodec's JPEG decoder; None, with one log line, where it is missing."""
    try:
        from torchcodec.decoders import decode_jpeg  # noqa: PLC0415  loads nvJPEG, which a CPU worker need not have
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("no_device_jpegs", extra={"reason": str(error).strip().partition("\n")[0]})
        return None
    # JPEG bytes are only read: torch warns that a tensor over them must not be written.
    warnings.filterwarnings("ignore", message="The given buffer is not writable", category=UserWarning)

    def decode(images: Sequence[bytes], device: str) -> list[torch.Tensor]:
        encoded = [torch.frombuffer(data, dtype=torch.uint8) for data in images]
        found: list[torch.Tensor] = decode_jpeg(encoded, mode="RGB", device=device)
        return found

    return decode


def _portions(sizes: Sequence[tuple[int, tuple[int, int]]]) -> Iterator[list[int]]:
    """Yield the images' numbers in portions of so many pixels that the device's memory has room for them."""
    portion: list[int] = []
    pixels = 0
    for number, (width, height) in sizes:
        if portion and pixels + width * height > _PIXELS_AT_ONCE:
            yield portion
            portion, pixels = [], 0
        portion.append(number)
        pixels += width * height
    if portion:
        yield portion
