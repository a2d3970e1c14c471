"""The outputs of an embedding: a vector of float32, as a list or as base64."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import Encoding, ModelMetadata
from worker.models.outputs.writer import Output, Size, as_json, write_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating[Any]]


class EmbeddingWriter:
    """Writes one output for each vector, of length 1 if the version says `normalize`; zeros stay zeros."""

    needs_size = False

    def __init__(self, metadata: ModelMetadata) -> None:
        self._normalize = metadata.normalize
        self._encoding = metadata.encoding

    def write(self, found: "Vectors", sizes: Sequence[Size] = ()) -> Sequence[Output]:  # noqa: ARG002
        """Return an output for each of (images, dimensions); raises ModelError for another shape."""
        vectors = found.reshape(found.shape[:2]) if all(side == 1 for side in found.shape[2:]) else found
        if vectors.ndim != 2:  # noqa: PLR2004  images and dimensions
            raise ModelError(
                f"the model answers in the shape {[*found.shape]}, not (images, dimensions): name the head that is a "
                "vector with `output`, or pool in the model"
            )
        return write_finite(vectors, self._write_rows)

    def _write_rows(self, vectors: "Vectors") -> list[bytes]:
        if self._normalize:
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1.0)
        return [as_json(self._output(vector)) for vector in np.ascontiguousarray(vectors, np.dtype("<f4"))]

    def _output(self, vector: "NDArray[np.float32]") -> dict[str, object]:
        if self._encoding is Encoding.BASE64:
            return {"dimensions": len(vector), "embedding_base64": base64.b64encode(vector.tobytes()).decode()}
        return {"dimensions": len(vector), "embedding": vector}
