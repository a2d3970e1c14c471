import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.load import image_files


def picture(format: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_stamped_pictures_differ_in_bytes_and_not_in_pixels(format: str) -> None:
    original = picture(format)
    stamped = [image_files.stamped(original, number) for number in (0, 1, 31, 32, 2**20, 2**40 - 1)]
    assert len({original, *stamped}) == 7
    assert {pixels(data) for data in stamped} == {pixels(original)}


def test_a_stamped_png_is_still_header_data_and_end() -> None:
    stamped = image_files.stamped(picture("PNG"), 77)
    assert [stamped.count(name) for name in (b"IHDR", b"IDAT", b"IEND", b"tEXt")] == [1, 1, 1, 0]


def test_a_file_gives_back_the_images_written(tmp_path: Path) -> None:
    images = [b"one", b"", b"three" * 1000]
    image_files.write(tmp_path / "images", images)
    assert image_files.read(tmp_path / "images") == images
