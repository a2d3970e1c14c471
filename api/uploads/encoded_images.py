"""Decodes images sent as text: base64 (RFC 4648), and `data:` URLs (RFC 2397) in base64 or percent-encoding.

JSON and NDJSON share it. Long texts are decoded in pieces, so that Python's lock and the memory are never taken for
all of it at once; a short text of plain base64 takes one call.
"""

import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Final

import orjson

PIECE: Final = 512 * 1024
# Of the media type and parameters before the comma.
_LONGEST_HEADER: Final = 1024
# The longest escape of JSON, `\u002B`.
_ESCAPE: Final = 6
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x1f]")
_WHITESPACE: Final = b" \t\r\n\v\f"
_URL_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")

Text = str | memoryview
"""A JSON text: as it was read, or, where it is long, as it stands in the body, its escapes included."""


class ImageTextError(ValueError):
    """The text encodes no image; the message completes a sentence that begins with what was read."""


def is_data_url(text: Text) -> bool:
    """Tell whether a text is a `data:` URL."""
    if isinstance(text, str):
        return text[:5].lower() == "data:"
    return bytes(text[:5]).lower() == b"data:"


def read_data_url(text: Text) -> tuple[str, bytes]:
    """Return media type and bytes of a `data:` URL; raises ImageTextError."""
    if isinstance(text, str):
        header, comma, payload = text[5:].partition(",")
        pieces: Iterable[bytes] | str = payload
    else:
        pieces = unescaped(text)
        first = next(pieces, b"")
        raw_header, raw_comma, rest = first[5:].partition(b",")
        header, comma = raw_header.decode("latin-1"), raw_comma.decode()
        pieces = _chain(rest, pieces)
    if not comma or len(header) > _LONGEST_HEADER:
        raise ImageTextError(f"has no comma within {_LONGEST_HEADER:,} characters")
    media_type, *options = header.lower().split(";")
    if "base64" in (option.strip() for option in options):
        return media_type.strip(), _read_base64(pieces)
    return media_type.strip(), _read_percents(_as_pieces(pieces))


def read_base64(text: Text) -> bytes:
    """Decode base64; line breaks, percent-encoding, the URL alphabet and missing padding are accepted.

    Raises ImageTextError.
    """
    return _read_base64(text if isinstance(text, str) else unescaped(text))


def unescaped(text: memoryview) -> Iterator[bytes]:
    """Yield a long JSON text in pieces with its escapes undone; raises ImageTextError where it is no JSON text."""
    at = 0
    while at < len(text):
        end = min(at + PIECE, len(text))
        piece = bytes(text[at:end])
        if end < len(text) and (cut := piece.rfind(b"\\", -_ESCAPE)) > 0:
            # The escape may go on in the next piece.
            piece, end = piece[:cut], at + cut
        if b"\\" in piece:
            try:
                piece = orjson.loads(b'"' + piece + b'"').encode()
            except orjson.JSONDecodeError as error:
                raise ImageTextError(f"is no JSON text: {error.msg}") from None
        elif _UNPRINTABLE.search(piece):
            raise ImageTextError("is no JSON text: it holds a control character")
        yield piece
        at = end


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _as_pieces(text: Iterable[bytes] | str) -> Iterable[bytes]:
    return (text.encode(),) if isinstance(text, str) else text


def _read_base64(text: Iterable[bytes] | str) -> bytes:
    if isinstance(text, str):
        try:
            return _decode(text.encode())
        except ImageTextError:
            pass
    image, left, padded = BytesIO(), b"", False
    for piece in _plain(_as_pieces(text)):
        characters = left + piece if left else piece
        if padded and characters:
            raise ImageTextError("is no base64")
        whole = len(characters) & ~3
        image.write(_decode(characters[:whole]))
        left, padded = characters[whole:], characters[:whole].endswith(b"=")
    if padded and left:
        raise ImageTextError("is no base64")
    image.write(_decode(left + b"=" * (-len(left) % 4)))
    return image.getvalue()


def _decode(characters: bytes) -> bytes:
    # Which padding `strict_mode` takes beyond what is missing differs from one version of Python to the next.
    if len(characters) % 4 == 0 and not characters.endswith(b"==="):
        with contextlib.suppress(ValueError):
            return binascii.a2b_base64(characters, strict_mode=True)
    raise ImageTextError("is no base64")


def _plain(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces in base64's standard alphabet, without white space."""
    for piece in _without_percents(pieces):
        yield piece.translate(_URL_ALPHABET, _WHITESPACE)


def _read_percents(pieces: Iterable[bytes]) -> bytes:
    content = BytesIO()
    for piece in _without_percents(pieces):
        content.write(piece)
    return content.getvalue()


def _without_percents(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces with percent-encoding undone; raises ImageTextError for a `%` that begins no escape."""
    left = b""
    for piece in pieces:
        text = left + piece if left else piece
        cut = text.rfind(b"%", -2)
        left = b"" if cut < 0 else text[cut:]
        yield _without_percent(text if cut < 0 else text[:cut])
    if left:
        yield _without_percent(left)


def _without_percent(text: bytes) -> bytes:
    if b"%" not in text:
        return text
    if _NO_ESCAPE.search(text):
        raise ImageTextError("has a % that no two hexadecimal digits follow")
    # Quoted-printable (RFC 2045) is the same with another sign, and is read twenty times as fast as by urllib, which
    # takes eighty bytes of memory for each escape.
    return binascii.a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"="))
