"""Files that would take too much work are refused early with the reason; of the others the work is estimated."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.load.slow_shapes import SHAPES
from shared.image_files import gif, jpeg, png, tiff, webp
from shared.image_files.formats import HEAVY, identify_format, read_header
from shared.image_files.header import BrokenImageError
from tests.support.heavy_images import many_scans
from tests.support.tiffs import LONG, SHORT, page
from tests.support.tiffs import tiff as written

REFUSED = {
    "JPEG, 3,500 scans": "more than 100 scans",
    "JPEG, 120 scans": "more than 100 scans",
    "JPEG, ends in comments between 3,000 scans": "more than 100 scans",
    "JPEG, 20 MB of fill": "fill bytes",
    "JPEG, a million comments": "more than 2,000 segments",
    "PNG, empty chunks": "more than 20,000 chunks",
    "PNG, empty chunks after the pixels": "more than 20,000 chunks",
    "PNG, empty IDATs": "more than 20,000 chunks",
    "PNG, a million texts": "more than 20,000 chunks",
    "GIF, comments": "too much comes before its first frame",
    "GIF, bytes between blocks": "too much comes before its first frame",
    "WEBP, empty chunks before the image": "more than 1,000 chunks",
    "TIFF, a million strips": "more than 100,000 numbers",
    "TIFF, 60,000 tags": "more than 4,096 entries",
}
HEAVY_SHAPES = (
    "JPEG, 90 scans",
    "JPEG, 90 scans of 1,000 x 1,000",
    "JPEG, 9,000 bytes of fill",
    "JPEG, 1,900 comments",
    "PNG, 19,000 texts",
    "PNG, texts that inflate",
    "PNG, 49 million pixels",
    "BMP, runs of one",
    "BMP, runs of half a byte",
    "BMP, ends of lines",
    "BMP, 40 KB of runs",
    "GIF, half a megabyte of comments",
    "GIF, clear codes",
    "GIF, blocks of one byte",
    "WEBP, empty chunks",
    "WEBP, frames",
    "TIFF, 95,000 strips",
    "TIFF, 95,000 strips, deflate",
)


def work(data: bytes) -> float:
    kind = identify_format(data)
    assert kind is not None
    return read_header(data, kind[1])[2]


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("shape", REFUSED)
def test_too_many_parts_of_any_kind_are_refused_with_the_reason(shape: str) -> None:
    with pytest.raises(BrokenImageError, match=REFUSED[shape]):
        work(SHAPES[shape]())


@pytest.mark.parametrize("shape", HEAVY_SHAPES)
def test_files_that_are_slow_to_decode_are_estimated_as_heavy(shape: str) -> None:
    assert work(SHAPES[shape]()) > HEAVY


@pytest.mark.slow  # encodes photographs of 12 million pixels
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_everyday_images_are_not_heavy_and_large_camera_photographs_are(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    assert work(encoded(Image.fromarray(noise), format)) < HEAVY
    assert work(encoded(Image.new("RGB", (4000, 3000)), format)) > HEAVY


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_more_pixels_are_more_work(format: str) -> None:
    small, large = (work(encoded(Image.new("RGB", (side, side)), format)) for side in (200, 800))
    assert 8 * small < large


def test_as_many_scans_as_are_allowed_are_accepted() -> None:
    assert work(many_scans(64, 64, jpeg.MAX_SCANS - 2))
    with pytest.raises(BrokenImageError, match="scans"):
        work(many_scans(64, 64, jpeg.MAX_SCANS - 1))


def test_bytes_after_a_jpeg_are_not_counted_as_scans() -> None:
    progressive = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    assert work(progressive + b"\xff\xda" * 5000) < HEAVY


def test_as_many_fill_bytes_and_segments_as_are_allowed_are_accepted() -> None:
    plain = encoded(Image.new("RGB", (64, 64)), "JPEG")
    assert work(plain[:2] + b"\xff" * (jpeg.MAX_FILL - 10) + plain[2:])
    assert work(plain[:2] + b"\xff\xfe\0\2" * (jpeg.MAX_SEGMENTS - 10) + plain[2:])
    for spread in (b"\xff\xff\xff\xfe\0\2" * (jpeg.MAX_SEGMENTS - 10) + b"\xff" * 9_000,):
        with pytest.raises(BrokenImageError, match="fill"):
            work(plain[:2] + spread + plain[2:])


def test_as_many_chunks_as_are_allowed_are_accepted() -> None:
    plain = encoded(Image.new("RGB", (64, 64)), "PNG")
    chunk = struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    assert work(plain[:33] + chunk * (png.MAX_CHUNKS - 10) + plain[33:]) > HEAVY
    with pytest.raises(BrokenImageError, match="chunks"):
        work(plain[:33] + chunk * png.MAX_CHUNKS + plain[33:])


def test_a_gif_with_as_many_blocks_as_allowed_is_accepted() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 9, 9, 0) + b"\2"
    assert work(screen + b"\1a" * (gif.MAX_BLOCKS - 10) + b"\0;")
    with pytest.raises(BrokenImageError, match="blocks"):
        work(screen + b"\1a" * (gif.MAX_BLOCKS + 10) + b"\0;")


def test_a_webp_with_as_many_chunks_as_allowed_is_accepted() -> None:
    picture = encoded(Image.new("RGB", (4, 4)), "WEBP")[12:]

    def of(chunks: int) -> bytes:
        body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0] * 4 + [3, 0, 0, 3, 0, 0]) + b"teSt\0\0\0\0" * chunks
        return b"RIFF" + struct.pack("<I", len(body + picture)) + body + picture

    assert work(of(webp.MAX_CHUNKS - 1))
    with pytest.raises(BrokenImageError, match="chunks"):
        work(of(webp.MAX_CHUNKS))


def test_no_more_pages_are_read_than_are_allowed() -> None:
    preview = page(1, 1, b"\0", {254: (LONG, [1])})
    image = page(2, 1, b"\0\0")
    assert tiff.full_page(written(*[preview] * (tiff.MAX_PAGES - 1), image)).tags[256] == (2,)
    assert tiff.full_page(written(*[preview] * tiff.MAX_PAGES, image)).tags[256] == (1,)


def test_a_tiff_without_its_text_tags_is_the_same_image() -> None:
    one = page(2, 1, b"\1\2", {270: (SHORT, [65] * 40), 274: (SHORT, [3])})
    data = written(page(1, 1, b"\0", {254: (LONG, [1])}), one)
    bare = tiff.only_image_tags(data)
    kept = tiff.full_page(bare)
    assert kept.tags[256] == (2,)
    assert kept.tags[273] == tiff.full_page(data).tags[273]
    assert Image.open(io.BytesIO(bare)).getexif().get(270) is None
    assert Image.open(io.BytesIO(bare)).getexif().get(274) == 3
