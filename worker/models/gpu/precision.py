"""A module in another precision, and the switches of torch that say what fp32 means on a GPU."""

import copy
from typing import Any, Final

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


def compute_fp32_as(precision: Precision) -> None:
    """Compute float32 products as the precision says from now on: exactly, or from TF32's 10 bits of mantissa.

    The switches are the process': hold the device's lock, and call it before each pass. Each is written by both names
    that torch has for it, and none is read: once a model's code has used one name, reading the other may raise, and a
    switch that is off by the older name follows torch's general one. 5 microseconds.
    """
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    is_tf32 = precision is Precision.TF32
    cudnn.allow_tf32 = products.allow_tf32 = is_tf32
    for switch in (cudnn.conv, cudnn.rnn, products):
        switch.fp32_precision = "tf32" if is_tf32 else "ieee"
