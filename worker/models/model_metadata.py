"""What a model version says of itself in `MLmodel`: its labels, how images and scores are prepared, what it may lose.

What it may lose, `decode` and `precision`, can also be set by tags of the model version in the registry, which can be
changed after the version was registered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from shared.domain.image import ImageSpec
from worker.models.errors import ModelError

ALL_CLASSES_UP_TO = 100
TOP_K_OF_MANY = 5
SOFTMAX, NONE = "softmax", "none"
TAG_PREFIX: Final = "darkroom."
"""Before the names of the tags that override the metadata: `darkroom.decode`, `darkroom.precision`."""
NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


class Decode(StrEnum):
    """How a version's images may be decoded and resized."""

    AUTO = "auto"
    """Exact on a CPU; on a GPU fast, if the scores agree with those of exact decoding."""
    EXACT = "exact"
    """Pillow's pixels, bit for bit those of torchvision's preset."""
    FAST = "fast"
    """The device's fastest decoder and resizer; a few pixels differ by a grey level or two."""


class Precision(StrEnum):
    """The number format in which a version's forward pass may compute."""

    AUTO = "auto"
    """fp32 on a CPU; on a GPU the fastest whose scores agree with fp32's."""
    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


_Choice = TypeVar("_Choice", Decode, Precision)


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The metadata of one version: `image`, `labels`; optionally `top_k`, `activation`, `decode` and `precision`."""

    spec: ImageSpec
    labels: tuple[str, ...]
    top_k: int
    activation: str
    decode: Decode = Decode.AUTO
    precision: Precision = Precision.AUTO

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None, tags: Mapping[str, str] = NO_TAGS) -> Self:
        """Read `MLmodel`'s metadata and the version's tags; raises ModelError naming what is missing or wrong."""
        metadata = metadata or {}
        missing = [name for name in ("image", "labels") if not metadata.get(name)]
        if missing:
            raise ModelError(f"the metadata in MLmodel has no {' and no '.join(missing)}")
        if not isinstance(metadata["labels"], list | tuple):
            raise ModelError("the metadata's labels must be a list")
        labels = tuple(str(label) for label in metadata["labels"])
        top_k = metadata.get("top_k") or (len(labels) if len(labels) <= ALL_CLASSES_UP_TO else TOP_K_OF_MANY)
        if not isinstance(top_k, int) or top_k < 1:
            raise ModelError(f"the metadata's top_k must be a positive whole number, not {top_k!r}")
        activation = metadata.get("activation") or SOFTMAX
        if activation not in (SOFTMAX, NONE):
            raise ModelError(f"the metadata's activation must be {SOFTMAX} or {NONE}, not {activation!r}")
        try:
            spec = ImageSpec.from_metadata(dict(metadata["image"]))
        except (TypeError, ValueError) as error:
            raise ModelError(f"the metadata's image: {error}") from error
        decode = _choice(Decode, "decode", metadata, tags)
        precision = _choice(Precision, "precision", metadata, tags)
        return cls(spec, labels, min(top_k, len(labels)), activation, decode, precision)


def _choice(kind: type[_Choice], name: str, metadata: Mapping[str, Any], tags: Mapping[str, str]) -> _Choice:
    """Return what the tag says, else the metadata, else auto; a tag also overrides metadata that is wrong."""
    tag = TAG_PREFIX + name
    where, value = (f"the tag {tag}", tags[tag]) if tag in tags else (f"the metadata's {name}", metadata.get(name))
    if value is None:
        return kind.AUTO
    try:
        return kind(value)
    except ValueError:
        *all_but_last, last = kind
        raise ModelError(f"{where} must be {', '.join(all_but_last)} or {last}, not {value!r}") from None
