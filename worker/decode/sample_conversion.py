"""What a file's samples mean: from Pillow's image and the file's own words to 8 bits a channel, dark is 0.

`docs/reference/image-formats.md` says tag by tag and chunk by chunk what is honoured.
"""

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from shared.image_files.tiff import (
    BITS,
    CCITT,
    COMPRESSION,
    MAX_SAMPLE,
    PHOTOMETRIC,
    S_MAX_SAMPLE,
    S_MIN_SAMPLE,
    Page,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FULL = 16
"""Bits of a deep sample, unless the file says that fewer count."""
_PALE = {2: 85, 4: 17}
"""What Pillow multiplies grey samples of so many bits by."""
_RGB, _GREY = 2, 0


def of_tiff(image: Image.Image, page: Page) -> Image.Image:
    """Return a TIFF page's image with the meaning that its tags give the samples."""
    colours = page.tags.get(PHOTOMETRIC, (None,))[0]
    if image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image), _bits_that_count(page), inverted=colours == 0)
    if image.mode in {"I", "F"}:
        low, high = float(page.tags[S_MIN_SAMPLE][0]), float(page.tags[S_MAX_SAMPLE][0])
        return _from_range(np.asarray(image), low, high, inverted=colours == 0)
    if image.mode == "La":
        return image.convert("LA")
    if colours is None and image.mode in {"1", "L"} and page.number(COMPRESSION, 1) not in CCITT:
        # Pillow takes white for zero where nothing is said; of everything but fax black is.
        return ImageOps.invert(image.convert("L"))
    return image


def _bits_that_count(page: Page) -> int:
    """Return how many low bits of 16 hold the sample: 12 in 12, or as MaxSampleValue says where it is all ones.

    Any other MaxSampleValue is a statistic, by TIFF 6.0, and changes nothing.
    """
    bits = page.number(BITS, _FULL)
    highest = page.number(MAX_SAMPLE, 0)
    if bits == _FULL and 0xFF <= highest < 0xFFFF and (highest + 1) & highest == 0:  # noqa: PLR2004
        return highest.bit_length()
    return bits


def of_png(image: Image.Image, data: bytes) -> Image.Image:
    """Return a PNG's image with the meaning that its depth, tRNS and sBIT give the samples."""
    depth, colour = data[24], data[25]
    clear = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        found = np.asarray(image)
        grey = _eight_bits(found, _significant(found, data))
        if isinstance(clear, int):
            grey = Image.fromarray(np.where(found == clear, np.uint8(255), np.asarray(grey)))
        return grey
    if depth in _PALE and colour == _GREY and isinstance(clear, int):
        image.info["transparency"] = clear * _PALE[depth]
    elif depth == _FULL and colour == _RGB and clear is not None:
        # The pixels are 8 bits by now: whether all 16 are those of the clear colour takes the low ones too.
        low = np.asarray(_low_bytes(data))
        found = (np.asarray(image).astype(np.uint16) << 8 | low) == np.array(clear, np.uint16)
        del image.info["transparency"]
        image.putalpha(Image.fromarray(np.where(found.all(axis=2), np.uint8(0), np.uint8(255))))
    return image


def _low_bytes(data: bytes) -> Image.Image:
    """Return the low bytes of an RGB image of 16 bits: its decoder takes the high ones unless it is told otherwise."""
    import io  # noqa: PLC0415

    image: Any = Image.open(io.BytesIO(data), formats=("PNG",))
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    return image  # type: ignore[no-any-return]


def _significant(found: "NDArray[Any]", data: bytes) -> int:
    """Return how many low bits of 16 hold the sample, by sBIT.

    Samples are to fill all 16 bits, whatever sBIT says, and mostly do. Those that stand in the low bits show it: none
    is higher, and what would be their last bits is not what filling up leaves there.
    """
    place = data.find(b"sBIT", 33, data.find(b"IDAT", 33))
    if place < 0 or data[place - 4 : place] != b"\0\0\0\1":
        return _FULL
    bits = data[place + 4]
    if not 8 <= bits < _FULL or int(found.max()) >> bits:  # noqa: PLR2004
        return _FULL
    return bits if bool((found & (1 << _FULL - bits) - 1 > 1).any()) else _FULL


def _eight_bits(found: "NDArray[Any]", bits: int, *, inverted: bool = False) -> Image.Image:
    """Take the highest 8 of so many bits."""
    high = np.minimum(found, (1 << bits) - 1) if bits < _FULL else found
    grey = (high >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)


def _from_range(found: "NDArray[Any]", low: float, high: float, *, inverted: bool) -> Image.Image:
    """Scale what lies between two values to 0…255; what lies beyond, and what is no number, is cut off."""
    if not np.isfinite(low) or not np.isfinite(high):
        raise struct.error("a range without ends")
    shares = np.nan_to_num((found.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    grey = np.minimum(np.clip(shares, 0.0, 1.0) * 256, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)
