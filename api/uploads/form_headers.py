"""Parses the parameters of `Content-Disposition` and `Content-Type` (RFC 2183, RFC 2045) in linear time.

Clients write a file's name in four ways: plain, in UTF-8 or Latin-1; in encoded words (RFC 2047: .NET, Java); as
`filename*` (RFC 8187: .NET, Python), alone or beside a plain one; and as `filename*` in pieces (RFC 2231: Java).
RFC 7578 allows the first alone; a reader that keeps to it loses the names of the other clients.
"""

import binascii
import codecs
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from shared.domain.errors import BadRequest

LONGEST_BOUNDARY: Final = 256
LONGEST_CONTENT_TYPE: Final = 1024
_MOST_PARAMETERS: Final = 32
_WINDOWS_PATH: Final = re.compile(rb"[A-Za-z]:\\")
# The form that nearly all clients write.
_BOUNDARY: Final = re.compile(r"multipart/form-data; ?boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")
# Possessive quantifiers, which never backtrack: the time is linear in the length, whatever the bytes.
_SEPARATORS: Final = re.compile(rb"[;\s]*+")
_PARAMETER: Final = re.compile(rb'([^=;\s]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"?+|([^;]*+))', re.DOTALL)
_PIECE: Final = re.compile(rb"filename(?:\*(\d{1,2}))?(\*)?")
_WORD: Final = re.compile(r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]*+)?\?([bqBQ])\?([^? \t]*+)\?=")
_BETWEEN_WORDS: Final = re.compile(r"\?=[ \t\r\n]++=\?")
_CHARSETS: Final = frozenset(
    (
        *("utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-15"),
        *("cp1250", "cp1251", "cp1252", "cp932", "cp936", "cp949", "cp950", "koi8-r", "koi8-u", "shift_jis"),
        *("euc_jp", "euc_kr", "iso2022_jp", "gb2312", "gbk", "gb18030", "big5"),
    )
)


def header_parameters(header: bytes) -> dict[bytes, bytes]:
    """Return a header's parameters by their names in lower case, the first of each; raises BadRequest for too many."""
    found: dict[bytes, bytes] = {}
    at = header.find(b";")
    for _ in range(_MOST_PARAMETERS):
        separators = _SEPARATORS.match(header, at) if at >= 0 else None
        if separators is None or separators.end() == len(header):
            return found
        at = separators.end()
        if match := _PARAMETER.match(header, at):
            name, quoted, plain = match.groups()
            found.setdefault(name.lower(), plain.strip() if quoted is None else _unquoted(quoted))
            at = match.end()
        at = header.find(b";", at)
    if at < 0:
        return found
    raise BadRequest(detail=f"a header of the form has over {_MOST_PARAMETERS} parameters")


def _unquoted(text: bytes) -> bytes:
    """Undo the escapes of a quoted string; Windows paths keep their backslashes, which old clients do not double."""
    if b"\\" not in text:
        return text
    return text.replace(b"\0", b"").replace(b"\\\\", b"\0").replace(b'\\"', b'"').replace(b"\0", b"\\")


def read_boundary(content_type: str) -> bytes:
    """Return the boundary that a form's Content-Type names; raises BadRequest."""
    if usual := _BOUNDARY.fullmatch(content_type):
        return usual[1].encode()
    if len(content_type) > LONGEST_CONTENT_TYPE:
        raise BadRequest(detail=f"Content-Type has over {LONGEST_CONTENT_TYPE:,} bytes")
    boundary = header_parameters(content_type.encode("latin-1", "replace")).get(b"boundary")
    if not boundary:
        raise BadRequest(detail="Content-Type names no boundary")
    if len(boundary) > LONGEST_BOUNDARY:
        raise BadRequest(detail=f"the boundary has over {LONGEST_BOUNDARY} bytes")
    return boundary


def read_disposition(header: bytes) -> tuple[str, str | None]:
    """Return the names of a form's field and of its file, None where that has none; raises BadRequest."""
    found = header_parameters(header)
    name = decode_text(found.get(b"name", b""))
    if (extended := _extended(found)) is not None:
        return name, extended
    filename = found.get(b"filename")
    if filename and _WINDOWS_PATH.match(filename):
        # Internet Explorer sends the whole path of a file.
        filename = filename.rpartition(b"\\")[2]
    return name, None if filename is None else decode_words(decode_text(filename))


def decode_text(raw: bytes) -> str:
    """Decode a text in UTF-8, or in Latin-1 where it is none: old clients send that."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode_words(text: str) -> str:
    """Decode the encoded words of a text (RFC 2047); one that can't be decoded stays as it is."""
    if "=?" not in text:
        return text
    # A character may be cut in two between words of one charset; white space between words is none of the text's.
    pieces: list[str] = []
    charset, raw, at = "", b"", 0
    text = _BETWEEN_WORDS.sub("?==?", text)
    for match in _WORD.finditer(text):
        known, content = _charset(match[1]), _word(match[2], match[3])
        if known is None or content is None:
            continue
        if match.start() > at or known != charset:
            pieces += [_text(raw, charset), text[at : match.start()]]
            charset, raw = known, b""
        raw += content
        at = match.end()
    return "".join([*pieces, _text(raw, charset), text[at:]])


def _charset(name: str) -> str | None:
    """Return Python's name of a charset that texts have."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        # A ValueError is for a name with U+0000 or one outside ASCII.
        return None
    return known if known in _CHARSETS else None


def _word(encoding: str, text: str) -> bytes | None:
    try:
        raw = text.encode("ascii")
        if encoding in "qQ":
            return binascii.a2b_qp(raw, header=True)
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except ValueError:
        return None


def _text(raw: bytes, charset: str) -> str:
    return raw.decode(charset, "replace") if raw else ""


def _extended(found: dict[bytes, bytes]) -> str | None:
    """Return what `filename*`, or its pieces in their order, say; None where there are none that can be read."""
    pieces: dict[int, bytes] = {}
    encoded = False
    for name, value in found.items():
        if (match := _PIECE.fullmatch(name)) and (match[1] or match[2]):
            number = int(match[1] or 0)
            encoded = encoded or (number == 0 and bool(match[2]))
            pieces.setdefault(number, unquote_to_bytes(value) if match[2] and number else value)
    if 0 not in pieces:
        return None
    joined = b"".join(pieces[number] for number in sorted(pieces))
    if not encoded:
        return decode_text(joined)
    charset, quote, rest = joined.partition(b"'")
    _, second, text = rest.partition(b"'")
    known = _charset(charset.decode("latin-1")) if quote and second else None
    # The first piece still has its escapes; the others' are undone, and a % of theirs begins one by accident at most.
    return None if known is None else unquote_to_bytes(text).decode(known, "replace")
