"""Converts a file's samples to 8 bits a channel with 0 as dark, by what the file says of them.

`docs/reference/image-formats.md` lists every tag and chunk that is taken into account.
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
"""Bits of a sample that has more than 8, unless the file says that fewer are used."""
_GREY_FACTOR = {2: 85, 4: 17}
"""By bits: what Pillow multiplies grey samples by, to fill 8 bits."""
_RGB, _GREY = 2, 0


def of_tiff(image: Image.Image, page: Page) -> Image.Image:
    """Return the image of a TIFF page, its samples converted by the page's tags."""
    colours = page.tags.get(PHOTOMETRIC, (None,))[0]
    if image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image), _used_bits(page), inverted=colours == 0)
    if image.mode in {"I", "F"}:
        low, high = float(page.tags[S_MIN_SAMPLE][0]), float(page.tags[S_MAX_SAMPLE][0])
        return _from_range(np.asarray(image), low, high, inverted=colours == 0)
    if image.mode == "La":
        return image.convert("LA")
    if colours is None and image.mode in {"1", "L"} and page.number(COMPRESSION, 1) not in CCITT:
        # Without this tag Pillow takes 0 for white, which is right for fax compression only.
        return ImageOps.invert(image.convert("L"))
    return image


def _used_bits(page: Page) -> int:
    """Return how many low bits of 16 hold the sample: BitsPerSample, or MaxSampleValue's if that is all ones in binary.

    Any other MaxSampleValue is a statistic, by TIFF 6.0, and changes nothing.
    """
    bits = page.number(BITS, _FULL)
    highest = page.number(MAX_SAMPLE, 0)
    if bits == _FULL and 0xFF <= highest < 0xFFFF and (highest + 1) & highest == 0:  # noqa: PLR2004
        return highest.bit_length()
    return bits


def of_png(image: Image.Image, data: bytes) -> Image.Image:
    """Return the image of a PNG, its samples converted by its bit depth, tRNS and sBIT."""
    depth, colour = data[24], data[25]
    clear = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        found = np.asarray(image)
        grey = _eight_bits(found, _significant_bits(found, data))
        if isinstance(clear, int):
            grey = Image.fromarray(np.where(found == clear, np.uint8(255), np.asarray(grey)))
        return grey
    if depth in _GREY_FACTOR and colour == _GREY and isinstance(clear, int):
        image.info["transparency"] = clear * _GREY_FACTOR[depth]
    elif depth == _FULL and colour == _RGB and clear is not None:
        # The pixels have 8 bits by now; comparing all 16 with the transparent colour needs the low bytes too.
        low = np.asarray(_low_bytes(data))
        found = (np.asarray(image).astype(np.uint16) << 8 | low) == np.array(clear, np.uint16)
        del image.info["transparency"]
        image.putalpha(Image.fromarray(np.where(found.all(axis=2), np.uint8(0), np.uint8(255))))
    return image


def _low_bytes(data: bytes) -> Image.Image:
    """Return the low bytes of a 16-bit RGB image; Pillow's decoder keeps the high ones unless told otherwise."""
    import io  # noqa: PLC0415

    image: Any = Image.open(io.BytesIO(data), formats=("PNG",))
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    return image  # type: ignore[no-any-return]


def _significant_bits(found: "NDArray[Any]", data: bytes) -> int:
    """Return how many low bits of 16 hold the sample, by sBIT.

    By the standard samples fill all 16 bits whatever sBIT says, and in most files they do. In files where they are in
    the low bits instead, none is higher, and the low bits are not those that scaling up would leave.
    """
    place = data.find(b"sBIT", 33, data.find(b"IDAT", 33))
    if place < 0 or data[place - 4 : place] != b"\0\0\0\1":
        return _FULL
    bits = data[place + 4]
    if not 8 <= bits < _FULL or int(found.max()) >> bits:  # noqa: PLR2004
        return _FULL
    return bits if bool((found & (1 << _FULL - bits) - 1 > 1).any()) else _FULL


def _eight_bits(found: "NDArray[Any]", bits: int, *, inverted: bool = False) -> Image.Image:
    """Return the highest 8 of each sample's `bits` low bits."""
    high = np.minimum(found, (1 << bits) - 1) if bits < _FULL else found
    grey = (high >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)


def _from_range(found: "NDArray[Any]", low: float, high: float, *, inverted: bool) -> Image.Image:
    """Scale from low…high to 0…255; values outside are clipped, and NaN becomes 0."""
    if not np.isfinite(low) or not np.isfinite(high):
        raise struct.error("a range without ends")
    shares = np.nan_to_num((found.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    grey = np.minimum(np.clip(shares, 0.0, 1.0) * 256, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)
