"""Masks that are too large to stand in a prediction: the worker writes them into its output, readers leave them out.

A mask is kept with its prediction, in Redis until it is recorded and then in its row in Postgres: so its URL answers as
long as the prediction does, for the same owner, and what ends, repeats or deletes the one does so to the other.
"""

import base64
import binascii
from typing import Any, Final

MASK: Final = "mask"
LARGEST_INLINE: Final = 1_048_576
"""Characters of base64 up to which a mask stands in its prediction; no other output may have so many bytes in all."""
LARGEST_WITH_MASK: Final = 8 * 1_048_576
"""Bytes of an output with its mask. One of 4 million pixels has 5.4 MB if its classes are as random as can be."""
LEFT_OUT: Final = "mask_left_out"
"""The member that stands for a mask which was left out; outside it is shown as `mask_url`."""


def without_large_mask(output: Any) -> Any:
    """Return an output without its mask, and with LEFT_OUT, where that is large; else as it is."""
    mask = output.get(MASK) if isinstance(output, dict) else None
    if not isinstance(mask, str) or len(mask) <= LARGEST_INLINE:
        return output
    return {name: value for name, value in output.items() if name != MASK} | {LEFT_OUT: True}


def shown_output(output: Any, *, url: str) -> Any:
    """Return an output as it is shown outside; `url` is its prediction's."""
    if not isinstance(output, dict) or LEFT_OUT not in output:
        return output
    return {
        ("mask_url" if name == LEFT_OUT else name): (f"{url}/mask" if name == LEFT_OUT else value)
        for name, value in output.items()
    }


def mask_file(output: Any) -> bytes | None:
    """Return the PNG of an output, read whole; None where it has no mask."""
    mask = output.get(MASK) if isinstance(output, dict) else None
    if not isinstance(mask, str):
        return None
    try:
        file = base64.b64decode(mask, validate=True)
    except (binascii.Error, ValueError):
        return None
    # An object of the task `json` may call anything its mask.
    return file if file.startswith(b"\x89PNG\r\n\x1a\n") else None
