"""The outputs of a regression: named numbers, with their units where the version gives those."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.writer import Output, Size, as_json, write_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.floating[Any]]


class RegressionWriter:
    """Writes one output for each row of values.

    They are called as `values` says, else as the heads that `output` names where each has one value, else `value`, or
    `value_0`, `value_1`, … where there are several.
    """

    needs_size = False

    def __init__(self, metadata: ModelMetadata) -> None:
        heads = metadata.output.by_name if metadata.output is not None and metadata.output.only is None else ()
        self._names = tuple(metadata.values)
        self._heads = tuple(heads)
        units = {name: unit for name, unit in metadata.values.items() if unit}
        self._units = {"units": units} if units else {}

    def write(self, found: "Values", sizes: Sequence[Size] = ()) -> Sequence[Output]:  # noqa: ARG002
        """Return an output for each of (images, values) or (images,); raises ModelError for another shape."""
        values = found.reshape(len(found), -1)
        names = self._names_of(values.shape[1])

        def write_rows(rows: "Values") -> list[bytes]:
            # Numbers of float32 are written with as many digits as they have.
            return [as_json({"values": dict(zip(names, row, strict=True))} | self._units) for row in rows]

        return write_finite(values, write_rows)

    def _names_of(self, count: int) -> tuple[str, ...]:
        if self._names:
            if set(self._names) == set(self._heads) and len(self._heads) == count:
                # The values stand in the order of the heads, whose names they have.
                return self._heads
            if len(self._names) != count:
                raise ModelError(
                    f"the model answers {count} values an image and has {len(self._names)} names of values"
                )
            return self._names
        if len(self._heads) == count:
            return self._heads
        return ("value",) if count == 1 else tuple(f"value_{number}" for number in range(count))
