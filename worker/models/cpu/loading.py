"""A version on a CPU: its forward pass in fp32, and the decoding that it asks for."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

from worker.decode.preprocessing import decode as decode_exactly
from worker.models.compute_mode import COMPARED_TASKS, REFERENCE, ChosenMode, choose_compute_mode
from worker.models.cpu.fast_decoder import CpuFastDecoder, is_faster
from worker.models.cpu.forward import CpuForward
from worker.models.forward_function import Forward
from worker.models.metadata.model_metadata import Decode, ModelMetadata, Precision
from worker.models.outputs.by_task import needs_size
from worker.models.outputs.readers import output_reader
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
    photographs, which takes 128 forward passes of one image, for the tasks whose agreement is defined.
    """
    reader, sized = output_reader(metadata), needs_size(metadata.task)
    on_cpu = CpuForward(forward, spec=metadata.spec, reader=reader, batch_size=batch_size, module=module)
    if metadata.decode is not Decode.FAST or not is_faster(metadata.spec):
        return OnCpu(on_cpu, None, ChosenMode(*REFERENCE, agreement=None))
    if metadata.task not in COMPARED_TASKS:
        mode = ChosenMode(Decode.FAST, Precision.FP32, agreement=None)
        return OnCpu(on_cpu, CpuFastDecoder(metadata.spec, max_pixels=max_pixels, sized=sized), mode)
    fast = CpuFastDecoder(metadata.spec, max_pixels=max_pixels)

    def scores_in(decode: Decode, _: Precision) -> "NDArray[np.float32]":
        photographs = reference_photographs()[:COMPARED]
        spec = metadata.spec
        exact = [decode_exactly(photograph, spec, max_pixels=max_pixels) for photograph in photographs]
        found = fast.decode(photographs) if decode is Decode.FAST else exact
        pixels: list[Any] = [one if one is not None else other for one, other in zip(found, exact, strict=True)]
        return np.concatenate(
            [on_cpu.outputs(pixels[first : first + _AT_ONCE]) for first in range(0, COMPARED, _AT_ONCE)]
        )

    mode = choose_compute_mode(Decode.FAST, Precision.FP32, scores_in)
    return OnCpu(on_cpu, fast if mode.decode is Decode.FAST else None, mode)
