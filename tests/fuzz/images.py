"""The headers of image files as the gateway reads them, and damaged files as the worker writes them anew.

Whatever the bytes, an image has pixels or is refused with a reason; what is written anew is read as the same image.
"""

import contextlib
import io
from typing import Any

import numpy as np
from PIL import Image

from api.uploads.image_check import check_image
from shared.domain.errors import DarkroomError
from shared.image_files import jpeg, tiff
from shared.image_files.header import BrokenImageError
from shared.settings import Intake

LIMITS = Intake()


def image(data: bytes) -> None:
    """Read a header, and write a TIFF or JPEG anew without its notes."""
    try:
        facts = check_image(data, filename=None, content_type=None, limits=LIMITS)
    except DarkroomError:
        return
    assert facts.width > 0
    assert facts.height > 0
    match facts.format:
        case "TIFF":
            with contextlib.suppress(BrokenImageError):
                assert tiff.read_tiff(tiff.only_image_tags(data))[:2] == (facts.width, facts.height)
        case "JPEG":
            end, segments = jpeg.end_of_header(data)
            assert all(2 <= start < stop for _, start, stop in segments)
            assert end <= len(data)


def image_seeds() -> list[bytes]:
    """Return a small image of every kind and mode."""
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("L", "P"),
        "BMP": ("1", "P", "RGB", "RGBA"),
        "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"),
    }
    options: dict[str, tuple[dict[str, Any], ...]] = {
        "JPEG": ({}, {"progressive": True}, {"restart_marker_blocks": 1}),
        "WEBP": ({}, {"lossless": True}),
        "TIFF": ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}),
    }
    arrays = [
        _array(shape, order, version)
        for shape in ((11, 23), (11, 23, 1), (11, 23, 3))
        for order, version in (("C", (1, 0)), ("F", (2, 0)), ("C", (3, 0)))
    ]
    return arrays + [
        _saved(format, mode, more) for format in modes for mode in modes[format] for more in options.get(format, ({},))
    ]


def _array(shape: tuple[int, ...], order: Any, version: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.zeros(shape, np.uint8, order=order), version=version, allow_pickle=False)
    return file.getvalue()


def _saved(format: str, mode: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((23, 11)).convert(mode).save(file, format, **options)
    return file.getvalue()
