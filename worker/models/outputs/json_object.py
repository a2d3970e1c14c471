"""The outputs of a version with the task `json`: the object that the model answers for an image, as it is."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.writer import Output, Size, as_json, write_each


class JsonWriter:
    """Writes one object for each row."""

    needs_size = False

    def __init__(self, metadata: ModelMetadata) -> None:
        self._most = metadata.max_bytes

    def write(self, found: Sequence[Any], sizes: Sequence[Size] = ()) -> Sequence[Output]:  # noqa: ARG002
        """Return an output for each object: a mapping that JSON can hold, of finite numbers, within the limit."""
        return write_each(found, self._output)

    def _output(self, row: Any) -> bytes:
        row = row.item() if isinstance(row, np.ndarray) and row.ndim == 0 else row
        if not isinstance(row, Mapping):
            raise ModelError(f"the model answers with {type(row).__name__}, not with an object (a dict) an image")
        try:
            written = as_json({**row}, most=self._most)
        except TypeError as error:
            raise ModelError(f"the model answers with what JSON can't hold: {error}") from None
        # NaN and infinity are written as null, which a reader could not tell from None.
        if b"null" in written and not _is_finite(row):
            raise ModelError("the model answers with numbers that are not finite")
        return written


def _is_finite(row: Any) -> bool:
    """Tell whether all numbers in an object, at any depth, are finite."""

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

    try:
        json.dumps({str(name): value for name, value in row.items()}, allow_nan=False, default=plain)
    except ValueError:
        return False
    return True
