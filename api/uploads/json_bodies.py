"""JSON objects that hold an image's text, of which only what stands beside it is parsed as a whole.

A parser makes an object of fifty bytes of every `[]`, and holds up all others until it is done: 27 MB of them take
three seconds and a gigabyte. So long texts are cut out first, by a search for their ends; what is left is small.
"""

import secrets
from typing import Any, Final, NamedTuple

import orjson

BESIDE_THE_IMAGE: Final = 64 * 1024
"""Bytes that a body may have beside its image: 4 KB of metadata and short texts."""
MOST_PARSED: Final = 2 * BESIDE_THE_IMAGE
"""Bytes of JSON that are parsed at once: 2 ms, whatever they are."""
LONG_TEXT: Final = 16 * 1024
"""Bytes from which on a text is cut out."""
_BOM: Final = b"\xef\xbb\xbf"
_BACKSLASH: Final = ord("\\")
_MOST_BACKSLASHES: Final = 64
# In one text, as `\\"`, and of such texts: each costs 0.3 µs.
_MOST_QUOTES: Final = 16 * 1024
_MOST_LONG_TEXTS: Final = 16


class JsonBodyError(ValueError):
    """This is no JSON object that we read; the message says why, after the words for what was read."""


class JsonObject(NamedTuple):
    """An object's members, and its long texts by what stands for each of them there."""

    members: dict[str, Any]
    long_texts: dict[str, memoryview]

    def holds_long_text(self, name: str) -> bool:
        """Tell whether a member holds a long text, at any depth."""
        if not self.long_texts or name not in self.members:
            return False
        written = orjson.dumps(self.members[name])
        return any(mark.encode() in written for mark in self.long_texts)


def parse_json_object(body: bytes | bytearray) -> JsonObject:
    """Parse a JSON object.

    Raises JsonBodyError, or orjson.JSONDecodeError with what is left of the body where that is no JSON.
    """
    # PowerShell and Windows' editors write it first; RFC 8259 lets a reader ignore it.
    if body.startswith(_BOM):  # noqa: FURB188  removeprefix copies a bytearray that has none
        body = body[len(_BOM) :]
    long_texts: dict[str, memoryview] = {}
    if len(body) > MOST_PARSED:
        body, long_texts = _cut(body)
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise JsonBodyError("is no JSON object")
    return JsonObject(found, long_texts)


def _cut(body: bytes | bytearray) -> tuple[bytes, dict[str, memoryview]]:
    """Return the JSON with something short in the place of every long text; raises JsonBodyError."""
    # Nobody can guess it, and so write it themselves.
    secret = secrets.token_hex(16)
    view, kept = memoryview(body), bytearray()
    texts: dict[str, memoryview] = {}
    copied = at = 0
    while (begin := body.find(b'"', at)) >= 0:
        if len(kept) + begin - copied > MOST_PARSED:
            break
        end = _find_end(body, begin + 1)
        if end - begin > LONG_TEXT:
            if len(texts) == _MOST_LONG_TEXTS:
                raise JsonBodyError(f"has over {_MOST_LONG_TEXTS} texts of over {LONG_TEXT:,} bytes")
            mark = f"{secret}-{len(texts)}"
            texts[mark] = view[begin + 1 : end]
            kept += view[copied : begin + 1]
            kept += mark.encode()
            copied = end
        at = end + 1
    if len(kept) + len(body) - copied > MOST_PARSED:
        raise JsonBodyError(f"has over {MOST_PARSED:,} bytes of JSON beside its image")
    kept += view[copied:]
    return bytes(kept), texts


def _find_end(body: bytes | bytearray, start: int) -> int:
    """Return where the text that begins at `start` ends; raises JsonBodyError."""
    at = start
    for _ in range(_MOST_QUOTES):
        end = body.find(b'"', at)
        if end < 0:
            raise JsonBodyError("is no JSON: a text in it has no end")
        first = end
        while first > start and body[first - 1] == _BACKSLASH:
            first -= 1
            if end - first > _MOST_BACKSLASHES:
                raise JsonBodyError(f"has over {_MOST_BACKSLASHES} backslashes in a row")
        if (end - first) % 2 == 0:
            return end
        at = end + 1
    raise JsonBodyError(f"has a text with over {_MOST_QUOTES:,} quotation marks in it")
