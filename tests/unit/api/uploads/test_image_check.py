"""What is accepted as an image, and by which of three errors the rest is refused."""

import hashlib
import io
import math
import struct
import warnings
import zlib
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from api.uploads.image_check import check_image, clean_filename
from shared.domain.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.domain.image import ImageFacts
from shared.image_files.formats import SUPPORTED
from shared.image_files.jpeg import MAX_SEGMENTS
from shared.settings import Intake

LIMITS = Intake()
REFUSALS = (ImageTooLarge, UndecodableImage, UnsupportedImage)


def facts(data: bytes, *, content_type: str | None = None, filename: str | None = None) -> ImageFacts:
    return check_image(data, filename=filename, content_type=content_type, limits=LIMITS)


def saved(mode: str, format: str, size: tuple[int, int] = (23, 11), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (19, 13), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def array(shape: tuple[int, ...], version: tuple[int, int] = (1, 0), order: Literal["C", "F"] = "C") -> bytes:
    """Return an array of uint8 as NumPy writes it."""
    buffer = io.BytesIO()
    samples = (np.arange(math.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a version above 1 is read by newer releases of NumPy alone
        np.lib.format.write_array(buffer, np.asarray(samples, order=order), version=version, allow_pickle=False)
    return buffer.getvalue()


def opened(data: bytes) -> tuple[str | None, int, int]:
    """Return format, width and height as Pillow reads them, or NumPy; raises what they raise."""
    if data.startswith(b"\x93NUMPY"):
        height, width = np.load(io.BytesIO(data), allow_pickle=False).shape[:2]
        return "NPY", width, height
    with Image.open(io.BytesIO(data), formats=[name for name in SUPPORTED if name != "NPY"]) as image:
        # Pillow turns a TIFF upright when it opens it; our size is the stored one.
        size = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
        return image.format, *size


def png_of(width: int, height: int) -> bytes:
    """Return a whole PNG of any size in a few hundred bytes: a bomb where it is large."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(4096))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


KINDS: dict[str, bytes] = {
    **{f"png-{mode}": saved(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{f"jpeg-{mode}": saved(mode, "JPEG") for mode in ("L", "RGB", "CMYK")},
    "jpeg-progressive": saved("RGB", "JPEG", progressive=True),
    "jpeg-restarts": saved("RGB", "JPEG", size=(200, 90), restart_marker_blocks=1),
    "jpeg-exif": saved(
        "RGB",
        "JPEG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
    "webp-lossy": saved("RGB", "WEBP"),
    "webp-lossless": saved("RGB", "WEBP", lossless=True),
    "webp-alpha": saved("RGBA", "WEBP", exif=b"Exif\0\0"),
    "webp-animated": animated("WEBP"),
    **{f"gif-{mode}": saved(mode, "GIF") for mode in ("L", "P")},
    "gif-animated": animated("GIF"),
    **{f"bmp-{mode}": saved(mode, "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")},
    **{f"tiff-{mode}": saved(mode, "TIFF") for mode in ("1", "L", "RGB", "RGBA", "CMYK", "I;16")},
    **{
        f"tiff-{compression}": saved("RGB", "TIFF", size=(90, 200), compression=compression)
        for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")
    },
    "tiff-big": saved("RGB", "TIFF", big_tiff=True),
    "tiff-strips": saved("RGB", "TIFF", size=(90, 200), strip_size=1024),
    "npy-grey": array((11, 23)),
    "npy-one-channel": array((11, 23, 1), version=(3, 0)),
    "npy-colour": array((11, 23, 3), version=(2, 0)),
    "npy-fortran": array((11, 23, 3), order="F"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_format_and_size_are_those_that_pillow_reads(kind: str) -> None:
    data = KINDS[kind]
    found = facts(data)
    assert (found.format, found.width, found.height) == opened(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.bytes == len(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_image_is_undecodable(kind: str) -> None:
    data = KINDS[kind]
    # Where the pixels end is not seen in the header of a JPEG with one scan, and of an animation the first frame
    # counts: `test_damaged_files` has those. A PNG's end may be missing, and a checksum before it.
    unseen = (kind.startswith("jpeg") and kind != "jpeg-progressive") or kind.endswith("animated")
    for keep in {40} if unseen else {len(data) * 3 // 4, len(data) // 2, 40}:
        if len(data) - keep > 32:
            with pytest.raises(UndecodableImage):
                facts(data[:keep])


@given(kind=st.sampled_from(sorted(KINDS)), edits=st.data())
def test_no_mutation_raises_anything_else(kind: str, edits: st.DataObject) -> None:
    data = bytearray(KINDS[kind])
    for _ in range(edits.draw(st.integers(1, 6))):
        # Most of what readers check is near the start.
        last = min(len(data) - 1, edits.draw(st.sampled_from([64, 200, len(data) - 1])))
        data[edits.draw(st.integers(0, last))] = edits.draw(st.integers(0, 255))
    data = data[: edits.draw(st.integers(0, len(data)))] if edits.draw(st.booleans()) else data
    try:
        found = facts(bytes(data))
    except REFUSALS:
        return
    assert found.width > 0
    assert found.height > 0


@given(
    start=st.sampled_from(
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"RIFF0000WEBP",
            b"II*\0",
            b"MM\0+",
            b"BM",
        ]
    ),
    rest=st.binary(max_size=400),
)
def test_no_bytes_raise_anything_else(start: bytes, rest: bytes) -> None:
    with pytest.raises(REFUSALS):
        facts(start + rest)


@pytest.mark.parametrize("kind", ["png-RGB", "jpeg-RGB", "gif-P", "webp-lossy", "bmp-RGB", "tiff-RGB"])
def test_bytes_after_the_end_are_tolerated(kind: str) -> None:
    assert facts(KINDS[kind] + b"appended by some editor").width == 23


def test_a_bomb_is_refused_by_its_header_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLarge) as refused:
            facts(png_of(10_000, 10_000))
    assert (refused.value.size, refused.value.unit) == (100_000_000, "pixels")


def test_one_pixel_is_an_image() -> None:
    assert facts(png_of(1, 1)).width == 1


def test_no_pixel_is_no_image() -> None:
    with pytest.raises(UndecodableImage):
        facts(png_of(0, 5))


def test_too_many_bytes_are_refused_whatever_they_are() -> None:
    limits = Intake(max_image_bytes=10)
    with pytest.raises(ImageTooLarge) as refused:
        check_image(b"eleven byte", filename=None, content_type=None, limits=limits)
    assert (refused.value.size, refused.value.limit, refused.value.unit) == (11, 10, "bytes")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello", "text"),
        (b"", "nothing"),
        (b"%PDF-1.7 \xff", "a PDF document"),
        (b'<?xml version="1.0"?><svg/>', "an SVG drawing"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image"),
        (b"BMW is a make of car, and this is no bitmap", "text"),
        (b"\0\x01\x02\x03" * 9, "bytes that are no image"),
        (b"\x89PNG", "bytes that are no image"),
    ],
)
def test_the_kind_of_a_file_that_is_no_image_is_named(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedImage) as refused:
        facts(data)
    assert refused.value.found == words


def test_the_content_decides_the_format_not_the_declared_type() -> None:
    assert facts(KINDS["jpeg-RGB"], content_type="image/png").format == "JPEG"
    with pytest.raises(UnsupportedImage) as refused:
        facts(b"plain words", content_type="image/png")
    assert refused.value.found == "text"


def test_a_damaged_png_header_is_found() -> None:
    data = bytearray(KINDS["png-RGB"])
    data[19] ^= 1
    with pytest.raises(UndecodableImage, match="checksum"):
        facts(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\0\2" * (MAX_SEGMENTS + 1) + KINDS["jpeg-RGB"][2:],
        b"\xff\xd8" + b"\xff" * 8_000_000,
        b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe" + b"\1a" * 4_000_000,
        b"GIF89a\1\0\1\0\0\0\0" + b"\0" * 8_000_000,
        b"MM\0+\0\0\0\0" + b"\x80" + bytes(31),
    ],
    ids=["segments", "fill", "blocks", "zeros", "far away"],
)
@pytest.mark.timeout(2)
def test_endless_headers_are_refused_soon(data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        facts(data)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("7.png", "7.png"),
        ("C:\\images\\7.png", "7.png"),
        ("../../etc/passwd", "passwd"),
        ("a\0b\n.png", "ab.png"),
        ("\ud800.png", ".png"),
        ("///", None),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
    ],
)
def test_file_names_are_made_safe(name: str, clean: str | None) -> None:
    assert clean_filename(name) == clean


def test_facts_carry_the_file_name() -> None:
    assert facts(KINDS["png-RGB"], filename="scans/7.png").filename == "7.png"
    assert facts(KINDS["png-RGB"], filename="").filename is None
