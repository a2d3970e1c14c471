"""A model that MLflow keeps in a folder, run as one would without Darkroom: nothing of it is imported.

Channels-last without a copy, inference mode, freed memory kept by the process. It is what the bare loop and every peer
compute with, so that they differ in what is around it alone.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
import yaml

from benchmarks.stack.decoders import PILLOW, TORCHVISION
from benchmarks.stack.preset import Preset

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""
_NEVER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """An image's best class and its probability."""

    predicted_class: str
    confidence: float


class IndependentModel:
    """Encoded images in, predictions out, one forward pass a call."""

    def __init__(self, module: torch.nn.Module, preset: Preset, labels: Sequence[str], *, decoder: str) -> None:
        self._module = module
        self._preset = preset
        self._labels = labels
        self._pixels = preset.fast_pixels if decoder == TORCHVISION else preset.pixels

    @classmethod
    def load(cls, folder: str | Path, *, threads: int = 1, decoder: str = PILLOW) -> Self:
        """Load the exported program in `folder`; `threads` are those of one forward pass, in the whole process."""
        keep_freed_memory()
        torch.set_num_threads(threads)
        metadata: dict[str, Any] = yaml.safe_load((Path(folder) / "MLmodel").read_text())["metadata"]
        module = torch.export.load(Path(folder) / "data" / "model.pt2").module()
        # The weights too: convolutions would rearrange them in each pass.
        module = module.to(memory_format=torch.channels_last)
        return cls(module, Preset.from_metadata(metadata["image"]), metadata["labels"], decoder=decoder)

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Decode and predict."""
        with torch.inference_mode():
            scores = self._module(self._preset.batch([self._pixels(image) for image in images])).softmax(dim=1)
            confidences, numbers = scores.max(dim=1)
        return [
            Prediction(predicted_class=self._labels[number], confidence=confidence)
            for number, confidence in zip(numbers.tolist(), confidences.tolist(), strict=True)
        ]


def keep_freed_memory() -> bool:
    """Let glibc keep large blocks that are freed, instead of returning them and faulting them in again each pass."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # another C library
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER)) and bool(mallopt(_MMAP_MAX, 0))
