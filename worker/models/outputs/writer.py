"""What the writers of all tasks share: one output for each image, or why it has none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import orjson

from shared.domain.large_masks import LARGEST_INLINE
from worker.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.floating[Any]]

DIGITS: Final = 6
"""Probabilities are rounded to a millionth: more digits are the device's noise and cost bytes."""
LARGEST: Final = LARGEST_INLINE
"""Bytes of an output, which is kept in Redis and in Postgres and may be sent in a webhook."""
_NUL: Final = b"\\u0000"

Output = bytes | ModelError
"""JSON, or why an image has none."""
Size = tuple[int, int]
"""Width and height of the original picture, upright, in pixels."""


class OutputWriter(Protocol):
    """Writes the outputs of one task."""

    needs_size: bool
    """Whether `write` has to be given the original pictures' sizes."""

    def write(self, found: Any, sizes: Sequence[Size] = ()) -> Sequence[Output]:
        """Return one output for each image of what the version's reader `joined`.

        Raises ModelError where that does not fit the version for any image.
        """


def write_each(rows: Sequence[Any], write: Callable[..., bytes], *more: Sequence[Any]) -> list[Output]:
    """Return the output of each row: what `write` returns for it and for what stands beside it in `more`.

    An exception fails that row alone.
    """
    outputs: list[Output] = []
    for row, *beside in zip(rows, *more, strict=True):
        if isinstance(row, ModelError):
            outputs.append(row)
            continue
        try:
            outputs.append(write(row, *beside))
        except ModelError as error:
            outputs.append(error)
        except Exception as error:  # noqa: BLE001  a row is whatever a model answers
            outputs.append(ModelError(f"the model's output can't be used: {type(error).__name__}: {error}"))
    return outputs


def as_json(output: object, *, most: int = LARGEST) -> bytes:
    """Return an output as JSON; raises ModelError for one that is too large, or that Postgres would refuse."""
    written = orjson.dumps(output, _plain_array, orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    if len(written) > most:
        raise ModelError(f"the output has {len(written):,} bytes, over the limit of {most:,}")
    if _NUL in written:
        raise ModelError("the output has text with a NUL character")
    return written


def _plain_array(value: object) -> Any:
    """Return an array that orjson does not write (a transposed one, or float16's numbers) as Python's lists."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")


def write_finite(scores: "Scores", write: "Callable[[Scores], list[bytes]]") -> Sequence[Output]:
    """Return what `write` makes of the rows; a row that is not of finite numbers has an error in its place."""
    # A sum is finite only if every term is: one pass, no array of flags.
    if np.isfinite(scores.sum(dtype=np.float64)):
        return write(scores)
    good: list[bool] = [bool(np.isfinite(row).all()) for row in scores]
    written = iter(write(scores[good]) if any(good) else ())
    return [next(written) if one else ModelError("the model's scores are not finite numbers") for one in good]


def check_labels(scores: "Scores", labels: Sequence[str]) -> None:
    """Raise ModelError unless scores are (images, labels)."""
    if scores.ndim != 2 or scores.shape[1] != len(labels):  # noqa: PLR2004  images and labels
        single = (
            ", one number an image: return a score for each label, not the class' index; of a binary model [1 - p, p], "
            "or take the task multilabel with one label"
        )
        advice = single if scores.size == len(scores) and len(labels) > 1 else ""
        raise ModelError(f"the model answers in the shape {scores.shape} and has {len(labels)} labels{advice}")
