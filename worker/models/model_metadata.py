"""What a model version says of itself in `MLmodel`: its labels, and how images and scores are prepared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from shared.domain.image import ImageSpec
from worker.models.errors import ModelError

ALL_CLASSES_UP_TO = 100
TOP_K_OF_MANY = 5
SOFTMAX, NONE = "softmax", "none"


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The metadata of one version: `image`, `labels`, and optionally `top_k` and `activation`."""

    spec: ImageSpec
    labels: tuple[str, ...]
    top_k: int
    activation: str

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Self:
        """Read `MLmodel`'s metadata; raises ModelError naming what is missing or wrong."""
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
        return cls(spec, labels, min(top_k, len(labels)), activation)
