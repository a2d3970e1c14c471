"""Parses JSON objects that hold an image's text: long texts are cut out first, and only the small rest is parsed.

A parser makes an object of fifty bytes of every `[]`, and the event loop stands still meanwhile: 27 MB of them take
three seconds and a gigabyte. Long texts are found by a search for their ends, which is fast.
"""

import secrets
from typing import Any, Final, NamedTuple

import orjson

BESIDE_THE_IMAGE: Final = 64 * 1024
"""Bytes that a body may have beside its image: 4 KB of metadata and short texts."""
MOST_PARSED: Final = 2 * BESIDE_THE_IMAGE
"""Bytes of JSON that are parsed at most: 2 ms, whatever they hold."""
LONG_TEXT: Final = 16 * 1024
"""Length in bytes from which on a text is cut out."""
_BOM: Final = b"\xef\xbb\xbf"
_BACKSLASH: Final = ord("\\")
_MOST_BACKSLASHES: Final = 64
# Escaped quotation marks in one text, and number of long texts: each costs 0.3 µs.
_MOST_QUOTES: Final = 16 * 1024
_MOST_LONG_TEXTS: Final = 16


class JsonBodyError(ValueError):
    """This JSON is not accepted; the message completes a sentence that begins with what was read."""


class JsonObject(NamedTuple):
    """An object's members, and its long texts by the marks that stand for them in the members."""

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
    """Return the JSON with a short mark in place of every long text, and the texts by mark; raises JsonBodyError."""
    # Marks can't be guessed, so no client can write one itself.
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
