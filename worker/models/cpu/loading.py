"""A version on a CPU: its forward pass in fp32, and the decoding that it asks for."""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch

from worker.decode.preprocessing import decode as decode_exactly
from worker.models.compute_mode import REFERENCE, ChosenMode, choose_compute_mode
from worker.models.cpu.fast_decoder import CpuFastDecoder, is_faster
from worker.models.cpu.forward import CpuForward, Forward
from worker.models.model_metadata import SOFTMAX, Decode, ModelMetadata, Precision
from worker.models.reference_photographs import reference_photographs

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPARED: Final = 64
"""Photographs on which fast decoding is compared with exact: for information, so not as many as a choice needs."""
_AT_ONCE: Final = 16


class OnCpu(NamedTuple):
    """What a version computes with, and how."""

    forward: CpuForward
    decoder: CpuFastDecoder | None
    mode: ChosenMode


def put_on_cpu(
    forward: Forward,
    *,
    metadata: ModelMetadata,
    batch_size: int | None,
    max_pixels: int,
    module: torch.nn.Module | None = None,
) -> OnCpu:
    """Return the version with `decode: fast` if it asks for that and this processor gains from it, else exact.

    `module`, where there is one, has the weights that `forward` computes with. `fast` is compared with exact on
    photographs, which takes 128 forward passes of one image.
    """
    softmax = metadata.activation == SOFTMAX
    on_cpu = CpuForward(forward, spec=metadata.spec, softmax=softmax, batch_size=batch_size, module=module)
    if metadata.decode is not Decode.FAST or not is_faster(metadata.spec):
        return OnCpu(on_cpu, None, ChosenMode(*REFERENCE, agreement=None))
    fast = CpuFastDecoder(metadata.spec, max_pixels=max_pixels)

    def scores_in(decode: Decode, _: Precision) -> "NDArray[np.float32]":
        photographs = reference_photographs()[:COMPARED]
        spec = metadata.spec
        exact = [decode_exactly(photograph, spec, max_pixels=max_pixels) for photograph in photographs]
        found = fast.decode(photographs) if decode is Decode.FAST else exact
        pixels = [one if one is not None else other for one, other in zip(found, exact, strict=True)]
        return np.concatenate(
            [on_cpu.scores(pixels[first : first + _AT_ONCE]) for first in range(0, COMPARED, _AT_ONCE)]
        )

    mode = choose_compute_mode(Decode.FAST, Precision.FP32, scores_in)
    return OnCpu(on_cpu, fast if mode.decode is Decode.FAST else None, mode)
