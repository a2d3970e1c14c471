"""Adds to an error of a model's first passes what the model was given, and what to write where that is plain."""

import re
from typing import Final

from shared.domain.image import ImageSpec
from worker.models.channels_advice import channels_advice
from worker.models.errors import ModelError, OutOfMemory
from worker.models.missing_packages import missing_module

_CHANNELS: Final = re.compile(r"to have (?P<wanted>\d+) channels, but got (?P<given>\d+) channels")
"""What torch says of a convolution."""


def note_input(error: BaseException, spec: ImageSpec) -> None:
    """Add the input's sizes to an error that says nothing of them; not to errors of ours and failed imports."""
    told = hasattr(error, "__notes__") or missing_module(error) is not None
    if told or isinstance(error, ModelError | OutOfMemory):
        return
    height, width = spec.input_size or (1, 1)
    error.add_note(f"`image` gives it {spec.mode.channels}×{height}×{width}, mode {spec.mode}{_advice(error, spec)}")


def _advice(error: BaseException, spec: ImageSpec) -> str:
    """Return what to write where the number of channels is wrong; mostly empty."""
    found = _CHANNELS.search(str(error))
    if found is None or int(found["given"]) != spec.mode.channels:
        return ""
    return channels_advice(int(found["wanted"]))
