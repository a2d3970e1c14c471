"""The measured models, with Darkroom's own decoding and forward pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from shared.settings import Registry
from worker.decode.preprocessing import decode
from worker.models.loaded_model import LoadedModel
from worker.models.loading import load

MAX_PIXELS = 50_000_000


class Measured:
    """A loaded model: encoded images in, outputs (JSON) out."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    @classmethod
    def load(cls, folder: str, *, threads: int) -> Self:
        """Load a model that lies in `folder` as MLflow keeps it; `threads` are those of one forward pass."""
        return cls(load(folder, registry=Registry(url=Path(folder).as_uri()), device="cpu", threads=threads))

    def outputs(self, images: Sequence[bytes]) -> list[bytes]:
        """Decode the images, predict them in one forward pass, return one output an image."""
        spec = self._model.spec
        return self._model.predict([decode(image, spec, max_pixels=MAX_PIXELS) for image in images])
