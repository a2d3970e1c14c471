"""TIFF files written by hand, tag by tag, for tests whose pixels are computed by hand."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

SHORT, LONG, FLOAT, SIGNED = 3, 4, 11, 8
_LETTERS = {SHORT: "H", LONG: "I", FLOAT: "f", SIGNED: "h"}
Tag = tuple[int, Sequence[Any]]


def page(width: int, height: int, data: bytes, more: dict[int, Tag] | None = None, **without: int) -> dict[int, Any]:
    """Return one page's tags: grey, 8 bits, one strip, no compression, unless `more` says otherwise."""
    tags: dict[int, Any] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8]),
        259: (SHORT, [1]),
        262: (SHORT, [1]),
        277: (SHORT, [1]),
        278: (LONG, [height]),
        279: (LONG, [len(data)]),
        **(more or {}),
    }
    tags[0] = data
    for tag in without.values():
        del tags[tag]
    return tags


def tiff(*pages: dict[int, Any], below: Sequence[dict[int, Any]] = (), order: str = "<") -> bytes:
    """Return a file of these pages; those `below` hang on the first one's SubIFDs."""
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    chain = [_write(file, one, order) for one in pages]
    children = [_write(file, one, order)[0] for one in below]
    if children:
        # Written again at the end, now that it is known where they are.
        chain[0] = _write(file, {**pages[0], 330: (LONG, children)}, order)
    struct.pack_into(order + "I", file, 4, chain[0][0])
    for (_, link), (following, _) in pairwise(chain):
        struct.pack_into(order + "I", file, link, following)
    return bytes(file)


def _write(file: bytearray, tags: dict[int, Any], order: str) -> tuple[int, int]:
    """Append a page; return where its directory is, and where the next one's place is written."""
    data = tags[0]
    strips = data if isinstance(data, list) else [data]
    offsets = []
    for strip in strips:
        offsets.append(len(file))
        file += strip + bytes(len(strip) % 2)
    listed = {tag: value for tag, value in tags.items() if tag}
    listed[273] = (LONG, offsets)
    listed[279] = (LONG, [len(strip) for strip in strips])
    entries = []
    for tag, (kind, values) in sorted(listed.items()):
        content = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(content) > 4:
            place = len(file)
            file += content + bytes(len(content) % 2)
            content = struct.pack(order + "I", place)
        entries.append(struct.pack(order + "HHI", tag, kind, len(values)) + content.ljust(4, b"\0"))
    directory = len(file)
    file += struct.pack(order + "H", len(entries)) + b"".join(entries)
    link = len(file)
    file += bytes(4)
    return directory, link
