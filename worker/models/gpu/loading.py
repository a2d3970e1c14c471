"""A torch version on a GPU: the decoding and the precision it is to have, its forward pass, its JPEG decoder."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

from shared.cores import cores
from worker.decode.preprocessing import decode as decode_exactly
from worker.models.compute_mode import COMPARED_TASKS, ChosenMode, choose_compute_mode, named_mode
from worker.models.errors import ModelError
from worker.models.forward_function import Forward
from worker.models.gpu.forward import GpuForward
from worker.models.gpu.jpegs import DeviceJpegs, device_jpegs
from worker.models.gpu.precision import in_precision
from worker.models.memory_format import put_in_format
from worker.models.metadata.model_metadata import Decode, ModelMetadata, Precision
from worker.models.noise import noise
from worker.models.outputs.by_task import needs_size
from worker.models.outputs.readers import output_reader
from worker.models.outputs.scores import equal_but_for_rounding
from worker.models.reference_photographs import reference_photographs

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_AT_ONCE: Final = 64
"""Photographs computed at once where ways to compute are compared."""
ForwardOf = Callable[[torch.nn.Module], Forward]
"""Returns a module's forward pass."""


class OnGpu(NamedTuple):
    """What a version computes with, and what was chosen for it."""

    forward: GpuForward
    decoder: DeviceJpegs | None
    mode: ChosenMode


def put_on_gpu(
    module: torch.nn.Module,
    forward_of: ForwardOf,
    *,
    metadata: ModelMetadata,
    device: str,
    batch_size: int | None,
    max_pixels: int,
) -> OnGpu:
    """Return the version in the fastest mode it allows and that agrees; its module is on the device already.

    Takes a few seconds where the task's agreement is defined: up to seven modes are compared on the reference
    photographs. Raises what the module raises.
    """
    candidates = _Candidates(module, forward_of, metadata, device=device, batch_size=batch_size, max_pixels=max_pixels)
    if metadata.task in COMPARED_TASKS:
        mode = choose_compute_mode(metadata.decode, metadata.precision, candidates.scores)
    else:
        decode, precision = named_mode(metadata.decode, metadata.precision)
        mode = ChosenMode(decode if candidates.jpegs else Decode.EXACT, precision, agreement=None)
    decoder = candidates.jpegs if mode.decode is Decode.FAST else None
    return OnGpu(candidates.forward(mode.precision), decoder, mode)


class _Candidates:
    """A version's forward pass in each precision, and the reference photographs in each decoding; made when asked."""

    def __init__(
        self,
        module: torch.nn.Module,
        forward_of: ForwardOf,
        metadata: ModelMetadata,
        *,
        device: str,
        batch_size: int | None,
        max_pixels: int,
    ) -> None:
        self._module = module
        self._forward_of = forward_of
        self._metadata = metadata
        self._reader = output_reader(metadata)
        self._device = device
        self._batch_size = batch_size
        self._max_pixels = max_pixels
        self._channels_last = self._put_in_channels_last()
        self._forwards: dict[Precision, GpuForward] = {}
        self._pixels: dict[Decode, list[NDArray[np.uint8] | torch.Tensor]] = {}
        self.jpegs = device_jpegs(metadata.spec, device=device, max_pixels=max_pixels, sized=needs_size(metadata.task))

    def scores(self, decode: Decode, precision: Precision) -> "NDArray[np.float32]":
        """Return the photographs' scores (images, labels); raises ModelError where they can't be decoded that way."""
        forward = self.forward(precision)
        pixels = self._photographs(decode)
        return np.concatenate(
            [forward.outputs(pixels[first : first + _AT_ONCE]) for first in range(0, len(pixels), _AT_ONCE)]
        )

    def forward(self, precision: Precision) -> GpuForward:
        """Return the forward pass in a precision; TF32 and fp32 share their parameters."""
        if precision not in self._forwards:
            module = in_precision(self._module, precision)
            self._forwards[precision] = self._made(module, precision, channels_last=self._channels_last)
        return self._forwards[precision]

    def _made(self, module: torch.nn.Module, precision: Precision, *, channels_last: bool) -> GpuForward:
        return GpuForward(
            self._forward_of(module),
            spec=self._metadata.spec,
            device=self._device,
            reader=self._reader,
            precision=precision,
            channels_last=channels_last,
            batch_size=self._batch_size,
        )

    def _put_in_channels_last(self) -> bool:
        """Reorder the parameters for tensor cores; put them back where the model can't compute in that order.

        They stay where noise does not tell: of a detector, which finds nothing in it.
        """
        if not self._reader.is_comparable:
            return False
        images = noise(self._metadata.spec, 2)
        expected = self._made(self._module, Precision.FP32, channels_last=False).outputs(images)
        try:
            put_in_format(self._module, torch.channels_last)
            scores = self._made(self._module, Precision.FP32, channels_last=True).outputs(images)
            if equal_but_for_rounding(scores, expected):
                return True
            reason = "other scores"
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  such as a view that needs the other order
            reason = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        log.info("channels_last_refused", extra={"reason": reason})
        put_in_format(self._module, torch.contiguous_format)
        return False

    def _photographs(self, decode: Decode) -> "list[NDArray[np.uint8] | torch.Tensor]":
        if decode not in self._pixels:
            self._pixels[decode] = self._decoded_fast() if decode is Decode.FAST else list(self._decoded_exactly())
        return self._pixels[decode]

    def _decoded_exactly(self) -> "list[NDArray[np.uint8]]":
        with ThreadPoolExecutor(cores()) as threads:
            one = partial(decode_exactly, spec=self._metadata.spec, max_pixels=self._max_pixels)
            return list(threads.map(one, reference_photographs()))

    def _decoded_fast(self) -> "list[NDArray[np.uint8] | torch.Tensor]":
        """Return them as a client's are: what is not decoded on the device is decoded by Pillow."""
        if self.jpegs is None:
            raise ModelError("JPEGs can't be decoded on this GPU")
        exact = self._photographs(Decode.EXACT)
        found: Sequence[Any] = self.jpegs.decode(reference_photographs())
        return [one if one is not None else other for one, other in zip(found, exact, strict=True)]
