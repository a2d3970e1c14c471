"""A module in another precision, and the switches of torch that say what fp32 means on a GPU."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from worker.models.metadata.model_metadata import Precision

_TYPES: Final = {Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}


def number_type(precision: Precision) -> torch.dtype:
    """Return the type of the input and of the parameters."""
    return _TYPES.get(precision, torch.float32)


def in_precision(module: torch.nn.Module, precision: Precision) -> torch.nn.Module:
    """Return the module with its parameters in the precision: itself where they already are, else a copy."""
    wanted = number_type(precision)
    return module if wanted is torch.float32 else copy.deepcopy(module).to(wanted)


@contextmanager
def fp32_as(precision: Precision) -> Iterator[None]:
    """Compute float32 products as the precision says during the block: exactly, or from TF32's 10 bits of mantissa.

    The switches are the process': hold the device's lock.
    """
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = precision is Precision.TF32
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
