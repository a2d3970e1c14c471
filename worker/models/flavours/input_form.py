"""The form in which a model takes its input: layout, sizes and number type, and how a batch is brought into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from shared.domain.image import ImageSpec
from worker.models.channels_advice import channels_advice
from worker.models.errors import ModelError

Shape = tuple[int | None, ...]
"""Sizes of an array's dimensions, None where any size is taken."""
_NUMBERS: Final = frozenset({f"DataType.{name}" for name in ("boolean", "integer", "long", "float", "double")})
_CHANNELS: Final = (1, 3)
_FLAT, _PLANES, _IMAGES = 2, 3, 4
"""Dimensions of a batch of rows of features, of images without channels, and of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputForm:
    """What a model's files say of its input. The default is what every model gets that says nothing."""

    where: str = ""
    """What says so, in words: "the signature", "the ONNX graph"."""
    shape: Shape | None = None
    """With the batch first."""
    type: torch.dtype = torch.float32

    @property
    def channels_last(self) -> bool:
        """Whether an image is (height, width, channels)."""
        shape = self.shape
        return shape is not None and len(shape) == _IMAGES and shape[3] in _CHANNELS and shape[1] not in _CHANNELS

    @property
    def batch_size(self) -> int | None:
        """The only number of images that it takes at once, None for any."""
        return self.shape[0] if self.shape else None

    @property
    def is_default(self) -> bool:
        """Whether a batch of float32 (images, channels, height, width) is taken as it is."""
        return self.type is torch.float32 and not self.channels_last and self._dimensions == _IMAGES

    def arranged(self, batch: torch.Tensor) -> torch.Tensor:
        """Return float32 (images, channels, height, width) in this form, contiguous.

        Flat rows have one channel after the other. Whole numbers are pixels from 0 to 255.
        """
        if self.type is not torch.float32:
            batch = batch.to(self.type) if self.type.is_floating_point else batch.mul(255).round().to(self.type)
        if self.channels_last:
            return batch.permute(0, 2, 3, 1).contiguous()
        if self._dimensions == _FLAT:
            return batch.flatten(1)
        return (batch[:, 0] if self._dimensions == _PLANES else batch).contiguous()

    def check(self, spec: ImageSpec) -> None:
        """Raise ModelError where images prepared as the specification says are not what the model takes."""
        if not self.type.is_floating_point and (any(spec.mean) or any(one != 1 for one in spec.std)):
            raise ModelError(f"{self.where} wants whole numbers, pixels from 0 to 255: leave out mean and std")
        if self.shape is None or spec.input_size is None:
            return
        size, channels = spec.input_size, spec.mode.channels
        given = self._arranged_sizes(channels, *size)
        wanted = self.shape[1:]
        if len(given) != len(wanted) or any(w not in (None, g) for w, g in zip(wanted, given, strict=True)):
            key = "crop_size" if spec.crop_size is not None else "resize_size"
            raise ModelError(
                f"{self.where} wants {_in_words(wanted)}, {key} gives {_in_words(given)}"
                + (f" ({_in_words((channels, *size))})" if self._dimensions == _FLAT else "")
                + self._other_channels(channels)
            )

    def _other_channels(self, given: int) -> str:
        """Return what to write where images have another number of channels than the model takes; else nothing."""
        if self.shape is None or self._dimensions != _IMAGES:
            return ""
        wanted = self.shape[3] if self.channels_last else self.shape[1]
        return "" if wanted in (None, given) else channels_advice(wanted)

    def example(self) -> str:
        """Return an `image` that fits this form, as code; with dots where the files say nothing."""
        sizes: Sequence[int | None] = ()
        if self.shape is not None and self._dimensions == _IMAGES:
            sizes = self.shape[1:] if not self.channels_last else (self.shape[3], *self.shape[1:3])
        if None in sizes or not sizes:
            return "{…}"
        channels, *size = sizes
        mode = ', "mode": "L"' if channels == 1 else ""
        return f'{{"resize_size": {size}{mode}, …}}'

    @property
    def _dimensions(self) -> int:
        return _IMAGES if self.shape is None else len(self.shape)

    def _arranged_sizes(self, channels: int, height: int, width: int) -> tuple[int, ...]:
        if self._dimensions == _FLAT:
            return (channels * height * width,)
        if self._dimensions == _PLANES and channels == 1:
            return height, width
        return (height, width, channels) if self.channels_last else (channels, height, width)


def signature_form(schema: Any) -> InputForm:
    """Return the form that an MLflow input schema names; the default where it names none, or several inputs.

    Raises ModelError for what holds no numbers: MLflow makes such columns from type hints as list[str].
    """
    if schema is None:
        return InputForm()
    if not schema.is_tensor_spec():
        # Columns of a table: a row of features an image.
        if other := sorted({str(kind) for kind in schema.input_types() if str(kind) not in _NUMBERS}):
            raise ModelError(
                f"the signature wants columns of {', '.join(other)[:100]}, and an image comes as numbers: let predict "
                "take a numpy array, without type hints of another input, and log the model without that signature"
            )
        return InputForm(where="the signature", shape=(None, len(schema.inputs)))
    if len(schema.inputs) != 1:
        return InputForm()
    [tensor] = schema.inputs
    if tensor.type.kind not in "biuf":
        raise ModelError(
            f"the signature wants an array of {tensor.type}, and an image comes as numbers: let predict take an array "
            "of uint8 or float32, and log the model with its signature"
        )
    return InputForm(where="the signature", shape=shape_of(tensor.shape), type=torch_type(str(tensor.type)))


def shape_of(sizes: Sequence[object]) -> Shape:
    """Return a shape of which only positive whole numbers are fixed: -1, names and symbols stand for any size."""
    return tuple(size if type(size) is int and size > 0 else None for size in sizes)


def torch_type(name: str) -> torch.dtype:
    """Return the type that numpy calls so; float32 for one that torch lacks."""
    found = getattr(torch, name, None)
    return found if isinstance(found, torch.dtype) else torch.float32


def _in_words(sizes: Sequence[int | None]) -> str:
    return "×".join("?" if size is None else str(size) for size in sizes)
