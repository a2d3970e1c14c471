"""Reads the headers of NumPy's .npy files (versions 1, 2 and 3 of the format, NEP 1) that hold one image of bytes.

The header is the text of a Python dictionary; here it is matched with a fixed grammar, and nothing is evaluated.
"""

import re
import struct
from typing import Final, NamedTuple

from shared.image_files.header import BrokenImageError, Header, OtherFormatError

MAX_HEADER: Final = 4096
"""Bytes of the header's text at most: 118 is usual, 10,000 are what NumPy itself reads."""
_LENGTHS: Final = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
"""Form of the header's length, by version."""
_TEXT: Final = rb"(?:'[^'\\\n]{0,64}'|\"[^\"\\\n]{0,64}\")"
_SHAPE: Final = rb"\(\s{0,8}(?:\d{1,10}L?\s{0,8},\s{0,8}){0,8}(?:\d{1,10}L?\s{0,8})?\)"
_MEMBER: Final = re.compile(
    rb"\s{0,64}['\"](?P<name>descr|fortran_order|shape)['\"]\s{0,64}:\s{0,64}"
    rb"(?P<value>"
    + _TEXT
    + rb"|True|False|\(\s{0,8}(?:\d{1,10}L?\s{0,8},\s{0,8}){0,8}(?:\d{1,10}L?\s{0,8})?\)|\[[^\n]{0,4000}\])"
    rb"\s{0,64}(?P<end>,|(?=\}))"
)
_NUMBERS: Final = re.compile(rb"\d+")
_BYTES: Final = re.compile(r"[|<>=]?(?:u1|B)")
_GREY, _COLOUR = 1, 3


class Layout(NamedTuple):
    """Where the samples begin, (height, width, channels), and whether the first index varies fastest (Fortran)."""

    offset: int
    height: int
    width: int
    channels: int
    fortran: bool


def read_npy(data: bytes) -> Header:
    """Return width, height and work. The file must hold all samples and nothing after them."""
    layout = read_layout(data)
    return layout.width, layout.height, layout.width * layout.height * 10e-6


def read_layout(data: bytes) -> Layout:
    """Return the layout of an image; raises OtherFormatError for another kind of array, BrokenImageError."""
    form = _LENGTHS.get((data[6], data[7]))
    if form is None:
        raise BrokenImageError(f"version {data[6]}.{data[7]} of the format does not exist")
    start = 8 + struct.calcsize(form)
    (length,) = struct.unpack_from(form, data, 8)
    if length > MAX_HEADER:
        raise BrokenImageError(f"its header has {length:,} bytes, over {MAX_HEADER:,}")
    offset = start + length
    if offset > len(data):
        raise BrokenImageError("it ends inside its header")
    members = _members(data[start:offset])
    kind = members["descr"].decode("latin-1").strip("'\"")
    if not _BYTES.fullmatch(kind):
        raise OtherFormatError(f"a NumPy array of {_kind_words(kind)}; an image is one of uint8, 0 to 255")
    shape = tuple(int(number) for number in _NUMBERS.findall(members["shape"]))
    height, width, channels = _image_shape(shape)
    if not height or not width:
        raise BrokenImageError(f"its size is {width}x{height} pixels")
    end = offset + height * width * channels
    if end != len(data):
        raise BrokenImageError(f"it has {len(data):,} bytes, and its shape {_words(shape)} means {end:,}")
    return Layout(offset, height, width, channels, members["fortran_order"] == b"True")


def _members(text: bytes) -> dict[bytes | str, bytes]:
    """Return the three members of the header's dictionary, as they are written."""
    found: dict[bytes | str, bytes] = {}
    body = text.strip()
    position = 1
    if not (body.startswith(b"{") and body.endswith(b"}")):
        raise BrokenImageError("its header is no dictionary")
    while match := _MEMBER.match(body, position):
        name = match["name"].decode()
        if name in found:
            raise BrokenImageError(f"its header names {name} twice")
        found[name] = match["value"]
        position = match.end()
    if body[position:].strip() != b"}" or len(found) != 3:  # noqa: PLR2004
        raise BrokenImageError("its header is not descr, fortran_order and shape")
    if found["fortran_order"] not in (b"True", b"False") or found["shape"][:1] != b"(" or found["descr"][:1] == b"(":
        raise BrokenImageError("its header is damaged")
    return found


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (height, width, channels); raises OtherFormatError for a shape that is no image's."""
    match shape:
        case (height, width):
            return height, width, _GREY
        case (height, width, (1 | 3) as channels):
            return height, width, channels
        case (1 | 3, _, _):
            raise OtherFormatError(
                f"a NumPy array of shape {_words(shape)}, its channels first; an image is (height, width, channels)"
            )
        case (_, _, _, _):
            raise OtherFormatError(f"a NumPy array of shape {_words(shape)}, many images; send each on its own")
    raise OtherFormatError(
        f"a NumPy array of shape {_words(shape)}; an image is (height, width), (height, width, 1) or (height, width, 3)"
    )


def _words(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _kind_words(kind: str) -> str:
    if kind.startswith("["):
        return "records"
    name = kind.lstrip("|<>=")
    if name.startswith("O"):
        return "Python objects"
    letters = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
    size = name[1:]
    if name[:1] in letters and size.isdigit() and len(size) < 3:  # noqa: PLR2004
        return f"{letters[name[0]]}{int(size) * 8}"
    return {"b1": "bool", "?": "bool"}.get(name, f"type {kind[:20]!r}")
