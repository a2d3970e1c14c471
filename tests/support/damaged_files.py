"""Hypothesis strategies that damage real files: flipped bits, changed numbers, parts cut out, repeated or spliced."""

import struct
import zlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

# Numbers that readers multiply, add to or allocate by, as they are written in 2, 4 and 8 bytes.
NUMBERS = [
    struct.pack(order + kind, number & (1 << 8 * width) - 1)
    for kind, width in (("H", 2), ("I", 4), ("Q", 8))
    for order in "<>"
    for number in (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, -1)
]


@st.composite
def damaged(draw: Callable, files: Sequence[bytes], *, mend: Callable[[bytes], bytes] | None = None) -> bytes:  # type: ignore[type-arg]
    """Draw one of the files with one to four places changed, spliced with another, or cut short.

    `mend` makes checksums right again, for half of them: those get past a reader's first check.
    """
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 4))):
        # Most of what readers check is near the start, some of it near the end.
        last = len(data)
        at = min(last, draw(st.integers(0, 80) | st.integers(0, last) | st.integers(max(0, last - 80), last)))
        match draw(
            st.sampled_from(["bit", "number", "number", "bytes", "cut out", "repeat", "insert", "splice", "end"])
        ):
            case "bit" if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
            case "number":
                number = draw(st.sampled_from(NUMBERS))
                data = data[:at] + number + data[at + len(number) :]
            case "bytes":
                other = draw(st.binary(min_size=1, max_size=8))
                data = data[:at] + other + data[at + len(other) :]
            case "cut out":
                data = data[:at] + data[at + draw(st.integers(1, 40)) :]
            case "repeat":
                data = data[:at] + data[max(0, at - draw(st.integers(1, 600))) :]
            case "insert":
                data = data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at:]
            case "splice":
                other = draw(st.sampled_from(files))
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case "end":
                data = data[:at]
    return mend(data) if mend and draw(st.booleans()) else data


def with_png_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks, as far as their lengths lead, have the checksums of what is in them."""
    found, at = bytearray(data), 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(found)
