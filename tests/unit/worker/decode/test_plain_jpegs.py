"""Which JPEGs are plain: those that every decoder reads alike, with the size their header gives."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.decode.plain_jpegs import plain_jpeg_header

XMP = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((61, 37), 50).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


GOOD, GREY, PROGRESSIVE = jpeg(), jpeg("L"), jpeg(progressive=True)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + segment(marker, content) + data[2:]


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        GREY,
        PROGRESSIVE,
        jpeg(subsampling="4:4:4"),
        jpeg(subsampling="4:2:2"),
        jpeg(subsampling="4:2:0"),
        jpeg(comment=b"a comment", dpi=(72, 72)),
        with_segment(jpeg(), 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        with_segment(jpeg(), 0xEE, b"Adobe\0d\0\0\0\0\1"),
    ],
)
def test_usual_files_are_plain(data: bytes) -> None:
    assert plain_jpeg_header(data) == (61, 37, 1 if data is GREY else 3, data is PROGRESSIVE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        jpeg("CMYK"),
        jpeg(keep_rgb=True),
        jpeg()[:-1],
        jpeg() + b"\0",
        with_segment(jpeg(), 0xE1, XMP),
        with_segment(jpeg(), 0xEE, b"Adobe\0d\0\0\0\0\0"),
        jpeg().replace(b"\xff\xc0", b"\xff\xc9"),  # arithmetic coding
        jpeg().replace(b"\xff\xc0", b"\xff\xc3"),  # lossless
        jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),  # 12 bits
        jpeg().replace(b"\x08\0\x25\0\x3d", b"\x08\0\0\0\x3d"),  # its height comes after the scan
        b"\x89PNG\r\n\x1a\n" + jpeg()[8:],
    ],
)
def test_all_others_are_not(data: bytes) -> None:
    assert plain_jpeg_header(data) is None


@given(st.data())
def test_bytes_of_any_kind_raise_nothing(data: st.DataObject) -> None:
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    plain_jpeg_header(bytes(good))
    plain_jpeg_header(bytes(good[:cut]) + b"\xff\xd9")
