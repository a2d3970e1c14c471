"""Request bodies at the documented limits: ordinary large ones, and ones made to keep a parser busy."""

import base64
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

MOST: Final = 20 * 1024 * 1024
"""Bytes of an image, the default limit."""
PREDICTIONS, FILES, BATCHES = "/v1/predictions", "/v1/files", "/v1/batches"
JSON, LINES, FORM = "application/json", "application/x-ndjson", "multipart/form-data; boundary=B"


@dataclass(frozen=True, slots=True)
class Shape:
    """One request; `piece` is the size of an HTTP chunk in bytes; None: sent with a Content-Length."""

    path: str
    content_type: str
    body: Callable[[], bytes]
    piece: int | None = None


def _png(size: int) -> bytes:
    """Return an image of about so many bytes: noise, which does not compress."""
    side = int((size / 3) ** 0.5)
    written = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(written, "PNG", compress_level=0)
    return written.getvalue()


def _chunks(name: bytes, content: bytes = b"") -> bytes:
    """Return a PNG of 20 MB that is full of one small chunk."""
    small = _png(300)
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return small[:33] + chunk * ((MOST - 1000) // len(chunk)) + small[33:]


def _image() -> bytes:
    return _png(MOST - 200_000)


def _base64(wrapped: int = 0) -> bytes:
    image = _png(MOST - 700_000)
    return base64.encodebytes(image) if wrapped else base64.b64encode(image)


def _json(text: bytes) -> bytes:
    return b'{"input":{"image":"' + text + b'"}}'


def _filled(start: bytes, unit: bytes, end: bytes, size: int = MOST * 4 // 3) -> bytes:
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


def _form(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--B\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"--B--\r\n"


def _field(name: bytes, rest: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%b"%b' % (name, rest)


def _long_head(head: bytes) -> Callable[[], bytes]:
    return lambda: _form((_filled(_field(b"image"), head, b"", MOST), b"x"))


def _in_json(unit: bytes, start: bytes = b'{"input":[', end: bytes = b"1]}") -> Callable[[], bytes]:
    return lambda: _filled(start, unit, end)


def _in_image(unit: bytes, start: bytes = b"data:;base64,") -> Callable[[], bytes]:
    return lambda: _filled(b'{"input":{"image":"' + start, unit, b'"}}')


def _in_line(unit: bytes, start: bytes = b"[", end: bytes = b"1]") -> Callable[[], bytes]:
    return lambda: b'{"image":"AAAA"}\n' + _filled(start, unit, end)


def _parts(name: bytes, count: int) -> Callable[[], bytes]:
    return lambda: _form(*[(_field(name), b"x" * ((MOST // count) - 60))] * count)


def _compact(text: bytes) -> Callable[[], bytes]:
    """Return JSON whose text stands in metadata."""
    return lambda: _form((_field(b"metadata"), text), (_field(b"image"), b"x"))


SHAPES: Final[dict[str, Shape]] = {
    "a PNG of 20 MB": Shape(PREDICTIONS, "image/png", _image),
    "a PNG of 20 MB in chunks of a byte": Shape(PREDICTIONS, "image/png", lambda: _png(1_000_000), piece=1),
    "in a form": Shape(PREDICTIONS, FORM, lambda: _form((_field(b"image", b'; filename="a.png"'), _image()))),
    "in JSON": Shape(PREDICTIONS, JSON, lambda: _json(b"data:image/png;base64," + _base64())),
    "in JSON, wrapped": Shape(PREDICTIONS, JSON, lambda: _json(b"data:;base64," + _base64(76).replace(b"\n", b"\\n"))),
    "in JSON, slashes escaped": Shape(
        PREDICTIONS, JSON, lambda: _json(b"data:;base64," + _base64().replace(b"/", b"\\/"))
    ),
    "in an NDJSON line": Shape(BATCHES, LINES, lambda: b'{"image":"' + _base64() + b'"}\n'),
    "in a bulk form": Shape(BATCHES, FORM, lambda: _form((_field(b"images", b'; filename="a.png"'), _image()))),
    "a file": Shape(FILES, FORM, lambda: _form((_field(b"content", b'; filename="a.png"'), _image()))),
    "a file that is no image": Shape(FILES, FORM, lambda: _form((_field(b"content"), bytes(MOST)))),
    "JPEG fill bytes": Shape(PREDICTIONS, "image/jpeg", lambda: b"\xff\xd8" + b"\xff" * (MOST - 2)),
    "JPEG segments": Shape(PREDICTIONS, "image/jpeg", lambda: b"\xff\xd8" + b"\xff\xe0\0\2" * (MOST // 4 - 1)),
    "GIF blocks": Shape(PREDICTIONS, "image/gif", lambda: b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe\1a" * 5_000_000),
    "PNG empty chunks": Shape(PREDICTIONS, "image/png", lambda: _chunks(b"teSt")),
    "PNG texts": Shape(PREDICTIONS, "image/png", lambda: _chunks(b"tEXt", b"a\0b")),
    "PNG empty IDATs": Shape(PREDICTIONS, "image/png", lambda: _chunks(b"IDAT")),
    "a form head of ;": Shape(PREDICTIONS, FORM, _long_head(b";")),
    "a form head of lines": Shape(PREDICTIONS, FORM, _long_head(b"\r\na:b")),
    "a form head of folded lines": Shape(PREDICTIONS, FORM, _long_head(b"\r\n ;")),
    "100 heads of ;": Shape(PREDICTIONS, FORM, lambda: _form(*[(_field(b"a", b";" * 8000), b"x" * 200_000)] * 99)),
    "100 heads of encoded words": Shape(
        PREDICTIONS, FORM, lambda: _form(*[(_field(b"a", b';filename="' + b"=?utf-8?q?a?= " * 500 + b'"'), b"x")] * 99)
    ),
    "100 parts": Shape(PREDICTIONS, FORM, _parts(b"a", 99)),
    "parts of nothing": Shape(
        PREDICTIONS, FORM, lambda: _filled(b"", b"--B\r\n%b\r\n\r\n\r\n" % _field(b"a"), b"--B--")
    ),
    "a boundary of 20 KB": Shape(
        PREDICTIONS, f"multipart/form-data; boundary={'a' * 20_000}", lambda: _filled(b"--", b"a", b"b", MOST)
    ),
    "almost the boundary": Shape(
        PREDICTIONS,
        f"multipart/form-data; boundary={'a' * 70}",
        lambda: _filled(b"--" + b"a" * 70 + b"\r\n" + _field(b"image") + b"\r\n\r\n", b"\r\n--" + b"a" * 69, b"", MOST),
    ),
    "a Content-Type of ;": Shape(PREDICTIONS, "multipart/form-data" + ";" * 20_000, lambda: b"x"),
    "metadata of 20 MB": Shape(PREDICTIONS, FORM, _compact(b'{"a":[' + b"[]," * (MOST // 3 - 30_000) + b"1]}")),
    "a file's metadata of 20 MB": Shape(
        FILES, FORM, lambda: _form((_field(b"metadata"), b"[" + b"{}," * 6_900_000 + b"1]"), (_field(b"content"), b"x"))
    ),
    "JSON of []": Shape(PREDICTIONS, JSON, _in_json(b"[],")),
    "JSON of {}": Shape(PREDICTIONS, JSON, _in_json(b"{},")),
    "JSON of texts": Shape(PREDICTIONS, JSON, _in_json(b'"a",')),
    "JSON of members": Shape(PREDICTIONS, JSON, _in_json(b'"a":1,', b'{"input":{', b'"b":1}}')),
    "JSON of lone surrogates": Shape(PREDICTIONS, JSON, _in_json(b'"\\ud800",')),
    "JSON nested": Shape(PREDICTIONS, JSON, _in_json(b"[", b'{"input":', b"")),
    "JSON of one number": Shape(PREDICTIONS, JSON, _in_json(b"9", b'{"input":', b"}")),
    "JSON of numbers": Shape(PREDICTIONS, JSON, _in_json(b"1e9,")),
    "JSON of spaces": Shape(PREDICTIONS, JSON, _in_json(b" ")),
    "JSON of metadata texts": Shape(
        PREDICTIONS, JSON, _in_json(b"x", b'{"metadata":{"a":"', b'"},"input":{"image":"data:,"}}')
    ),
    'JSON text of \\"': Shape(PREDICTIONS, JSON, _in_image(b'\\"')),
    "JSON text of \\\\": Shape(PREDICTIONS, JSON, _in_image(b"\\\\")),
    "JSON text of \\u0041": Shape(PREDICTIONS, JSON, _in_image(b"\\u0041")),
    "data: of %41": Shape(PREDICTIONS, JSON, _in_image(b"%41", b"data:,")),
    "data: of %4": Shape(PREDICTIONS, JSON, _in_image(b"%4", b"data:,")),
    "data: base64 of %41": Shape(PREDICTIONS, JSON, _in_image(b"%41")),
    "data: base64 of spaces": Shape(PREDICTIONS, JSON, _in_image(b" ")),
    "data: base64 of =": Shape(PREDICTIONS, JSON, _in_image(b"=")),
    "data: of commas": Shape(PREDICTIONS, JSON, _in_image(b";", b"data:")),
    "a URL of 27 MB": Shape(PREDICTIONS, JSON, _in_image(b"/v1/files/", b"http://h/")),
    "NDJSON of []": Shape(BATCHES, LINES, _in_line(b"[],")),
    "NDJSON of lone surrogates": Shape(BATCHES, LINES, _in_line(b'"\\ud800",')),
    "NDJSON nested": Shape(BATCHES, LINES, _in_line(b"[", b"", b"")),
    "NDJSON base64 of %41": Shape(BATCHES, LINES, _in_line(b"%41", b'{"image":"', b'"}')),
    "NDJSON of empty lines": Shape(BATCHES, LINES, _in_line(b"\n", b"", b"")),
    "NDJSON of spaces": Shape(BATCHES, LINES, _in_line(b" ", b"", b"")),
    "a bulk form head of ;": Shape(BATCHES, FORM, lambda: _form((_filled(_field(b"images"), b";", b"", MOST), b"x"))),
    "bulk fields": Shape(BATCHES, FORM, lambda: _form(*[(_field(b"a", b";" * 7000), b"x" * 60_000)] * 99)),
    "a bulk preamble": Shape(BATCHES, FORM, lambda: _filled(b"", b"\r\n--", b"", MOST)),
    "a bulk form of almost boundaries": Shape(
        BATCHES,
        f"multipart/form-data; boundary={'a' * 70}",
        lambda: _filled(
            b"--" + b"a" * 70 + b"\r\n" + _field(b"images") + b"\r\n\r\n", b"\r\n--" + b"a" * 69, b"", MOST
        ),
    ),
    "query of 16 KB": Shape(PREDICTIONS + "?" + "a=%41&" * 2600, "image/png", lambda: b"x"),
}
"""By their names."""
