"""Facts of an image, and the specification of a model's input image."""

import math
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from shared.domain.identifiers import Digest
from shared.domain.records import record

_NAMES: Final = ("resize_size", "crop_size", "interpolation", "mean", "std", "mode", "pad", "fill", "crop_rounding")
"""What the `image` metadata of a model may have."""
LARGEST_INPUT: Final = 2**25
"""Pixels of a model's input, or of the size it is cut from: in float32 three channels of so many take 400 MB."""
_LARGEST_STD: Final = 10
"""Of values from 0 to 1 no deviation is that large; of values from 0 to 255 it is around 60."""


class Mode(StrEnum):
    """Colour mode of a model's input, by Pillow's names."""

    RGB = "RGB"
    BGR = "BGR"
    """As of models that were trained on what OpenCV reads."""
    GREYSCALE = "L"

    @property
    def channels(self) -> int:
        """Number of channels of a pixel."""
        return 1 if self is Mode.GREYSCALE else 3

    @property
    def of_pillow(self) -> str:
        """The mode of Pillow's images from which pixels in this one are written."""
        return "RGB" if self is Mode.BGR else str(self)


class Interpolation(StrEnum):
    """Resampling filters, by torchvision's names."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class Pad(StrEnum):
    """Where the border goes of an image that keeps its proportions."""

    CENTER = "center"
    """Half of it on each side, as YOLO's letterbox; an odd pixel to the right or below."""
    END = "end"
    """All of it to the right or below."""


class CropRounding(StrEnum):
    """Where the centre crop begins if it can't be in the middle: an odd number of pixels is left over."""

    NEAREST = "nearest"
    """At the even one of the two pixels beside the middle, as torchvision and timm."""
    DOWN = "down"
    """At the left or upper one, as the image processors of transformers."""


_Choice = TypeVar("_Choice", Mode, Interpolation, Pad, CropRounding)
_WHITE: Final = 255


@record(kw_only=True)
class ImageFacts:
    """What the gateway found out about an accepted image. Width and height are pixels as stored."""

    sha256: Digest
    format: str
    width: int
    height: int
    bytes: int
    filename: str | None
    heavy: bool = False
    """Whether decoding it is estimated to take so long that it is decoded outside its micro-batch."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How an image becomes the model's input, under the names of torchvision's presets.

    `resize_size` is one number (the shorter side, in pixels) or (height, width). `crop_size` is the centre crop: one
    number (a square) or (height, width). None leaves the step out. With `pad` the image is resized to the largest size
    of its own proportions that fits into `resize_size`, which is (height, width) then, and a border of grey level
    `fill` (0 to 255) makes up the rest. `crop_rounding` says where a crop begins that can't be in the middle.
    `mean` and `std` are per channel, of values from 0 to 1.
    """

    resize_size: tuple[int, ...] | None
    crop_size: tuple[int, ...] | None
    interpolation: Interpolation = Interpolation.BILINEAR
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    mode: Mode = Mode.RGB
    pad: Pad | None = None
    fill: int = 0
    crop_rounding: CropRounding = CropRounding.NEAREST

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> Self:
        """Read the `image` metadata of an MLflow model; raises ValueError that says what is wrong."""
        _check_names(metadata)
        mode = _choice(Mode, "mode", metadata.get("mode", "RGB"))
        spec = cls(
            resize_size=_size("resize_size", metadata.get("resize_size")),
            crop_size=_size("crop_size", metadata.get("crop_size")),
            interpolation=_choice(Interpolation, "interpolation", metadata.get("interpolation", "bilinear")),
            mean=_numbers("mean", metadata.get("mean", [0.0] * mode.channels)),
            std=_numbers("std", metadata.get("std", [1.0] * mode.channels)),
            mode=mode,
            pad=None if metadata.get("pad") is None else _choice(Pad, "pad", metadata["pad"]),
            fill=_fill(metadata),
            crop_rounding=_choice(CropRounding, "crop_rounding", metadata.get("crop_rounding") or "nearest"),
        )
        if spec.pad is not None and (spec.resize_size is None or len(spec.resize_size) != 2 or spec.crop_size):  # noqa: PLR2004
            raise ValueError("pad needs a resize_size of (height, width) and no crop_size")
        if not all(map(math.isfinite, (*spec.mean, *spec.std))):
            raise ValueError("mean and std must be finite numbers")
        if len(spec.mean) != mode.channels or len(spec.std) != mode.channels:
            raise ValueError(f"mean and std need {mode.channels} numbers each for mode {mode}")
        if any(s <= 0 for s in spec.std):
            raise ValueError("std must be positive")
        if any(m > 1 for m in spec.mean) or any(s > _LARGEST_STD for s in spec.std):
            raise ValueError("mean and std are of values from 0..1, not 0..255: divide both by 255")
        if spec.input_size is None:
            raise ValueError("crop_size, or a resize_size of (height, width), must fix the input's size")
        for name, size in (("crop_size", spec.crop_size), ("resize_size", spec.resize_size)):
            if size is not None and size[0] * size[-1] > LARGEST_INPUT:
                raise ValueError(f"{name} is {size[0]:,} x {size[-1]:,} pixels, over the limit of {LARGEST_INPUT:,}")
        return spec

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the model's input in pixels; None where the specification leaves it open."""
        size = self.crop_size if self.crop_size is not None else self.resize_size
        if size is None:
            return None
        if len(size) == 2:  # noqa: PLR2004  height and width
            return (size[0], size[1])
        return (size[0], size[0]) if self.crop_size is not None else None

    def as_metadata(self) -> dict[str, Any]:
        """Return the specification as JSON: as it is in `MLmodel` and in the API's answers."""
        return {
            "resize_size": list(self.resize_size) if self.resize_size else None,
            "crop_size": list(self.crop_size) if self.crop_size else None,
            "interpolation": str(self.interpolation),
            "mean": list(self.mean),
            "std": list(self.std),
            "mode": str(self.mode),
            "pad": str(self.pad) if self.pad is not None else None,
            "fill": self.fill if self.pad is not None else None,
            "crop_rounding": str(self.crop_rounding) if self.crop_rounding is not CropRounding.NEAREST else None,
        }


def _check_names(metadata: dict[str, Any]) -> None:
    """Raise ValueError for names that an `image` has not, with the one that is probably meant."""
    unknown = sorted(str(name) for name in metadata if name not in _NAMES)
    if unknown:
        meant = get_close_matches(unknown[0].lower(), _NAMES, n=1)
        hint = f": did you mean {meant[0]!r}?" if meant else f"; there are {', '.join(_NAMES)}"
        raise ValueError(f"unknown image metadata: {', '.join(unknown)}{hint}")


def _choice(kind: type[_Choice], name: str, value: Any) -> _Choice:
    """Return the member of that value; raises ValueError that lists what it may be."""
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name} must be one of {', '.join(kind)}, not {value!r}") from None


def _fill(metadata: dict[str, Any]) -> int:
    """Check the grey level of a border; 0 where none is given."""
    fill = metadata.get("fill") or 0
    if type(fill) is not int or not 0 <= fill <= _WHITE:
        raise ValueError(f"fill must be a whole number from 0 to {_WHITE}, not {fill!r}")
    if fill and metadata.get("pad") is None:
        raise ValueError("fill is the grey level of a border: say where that goes, with pad")
    return fill


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    """Check a list of numbers."""
    if not isinstance(value, list | tuple) or not all(type(one) in (int, float) for one in value):
        raise ValueError(f"{name} must be a list of numbers, one a channel, not {value!r}")
    return tuple(map(float, value))


def _size(name: str, value: object) -> tuple[int, ...] | None:
    """Check one or two positive whole numbers of pixels; None stays None."""
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(numbers) not in (1, 2) or not all(type(n) is int and n > 0 for n in numbers):
        raise ValueError(f"{name} must be one or two positive whole numbers, not {value!r}")
    return numbers
