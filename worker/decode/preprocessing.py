"""Image bytes to the pixels a model takes: decode, turn upright, convert, resize, crop or pad.

For the same spec the result equals `torchvision.transforms._presets.ImageClassification` on the Pillow image, bit for
bit, up to the point where that turns bytes into floats; the loaded model does the rest for a whole micro-batch at once.
"""

import functools
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

import numpy as np
from PIL import Image

from shared.domain.image import ImageSpec, Mode
from shared.image_files.formats import identify_format, read_header
from shared.image_files.header import BrokenImageError
from worker.decode.geometry import Window, resized_size, window
from worker.decode.image_loading import Undecodable, check_pixels, error_text, load_image
from worker.decode.resampling import resized_window
from worker.decode.sized_pixels import SizedPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

P = ParamSpec("P")
T = TypeVar("T")

_ORIENTATION: Final = 0x0112
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAY_HOLD_ORIENTATION: Final = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
"""Keys of Pillow's `info` under which there may be an orientation."""

_PNG_START: Final = struct.Struct(">8s8s13sII4s")
"""Signature; length, name, content and checksum of IHDR; length and name of the next chunk."""
_PNG_HEADER: Final = struct.Struct(">IIBBBBB")
_PNG_SIZE: Final = struct.Struct(">II")
_SMALL: Final = 256 * 256
"""Pixels up to which decoding a PNG needs no estimate."""
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_PNG_MODES: Final = {(8, 0): "L", (8, 2): "RGB"}
"""Pillow's mode by bit depth and colour type, where samples need no conversion."""


def resize_and_crop(image: Image.Image, spec: ImageSpec, *, max_pixels: int) -> "NDArray[np.uint8]":
    """Return the pixels (height, width, channels) of an image of mode RGB or L, in the spec's mode and input size."""
    now = image.size  # read once: Pillow computes it at each reading
    size = resized_size(now, spec)
    part = window(size, spec)
    if size != now:
        kept = part.within(size)
        image = resized_window(image, size, kept, spec.interpolation, max_pixels=max_pixels)
        part = part.seen_from(kept)
    if part != (0, 0, *image.size):
        image = _cut(image, part, spec)
    # A fifth faster than np.asarray on 32x32, which builds an interface dictionary to reach the same bytes.
    pixels = np.frombuffer(image.tobytes("raw", spec.mode), np.uint8)
    return pixels.reshape(part.height, part.width, spec.mode.channels)


class ResizeAndCrop(Protocol):
    """`resize_and_crop`, or another way that gives nearly the same pixels."""

    def __call__(self, image: Image.Image, spec: ImageSpec, *, max_pixels: int) -> "NDArray[np.uint8]":
        """Return the pixels; raises Undecodable for a size of more than `max_pixels`."""


def _raising_undecodable(decoding: Callable[P, T]) -> Callable[P, T]:
    """Make whatever the function raises an Undecodable."""

    @functools.wraps(decoding)
    def decoding_or_undecodable(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return decoding(*args, **kwargs)
        except Undecodable:
            raise
        except MemoryError:
            raise Undecodable("there is too little memory to decode it") from None
        except Exception as error:
            # Pillow's decoders raise nearly anything for broken files: OSError, SyntaxError, ValueError, struct.error,
            # IndexError, zlib.error have all been seen.
            raise Undecodable(error_text(error)) from error

    return decoding_or_undecodable


@_raising_undecodable
def decode(
    data: bytes, spec: ImageSpec, *, max_pixels: int, resize_and_crop: ResizeAndCrop = resize_and_crop
) -> "NDArray[np.uint8]":
    """Return the pixels (height, width, channels) in the spec's input size; raises Undecodable.

    Transparent parts become white; of 16-bit samples the high byte is kept, of an animation the first frame. Never
    decodes, nor resizes to, more than `max_pixels`.
    """
    return resize_and_crop(_in_mode(_upright_image(data, max_pixels), spec.mode), spec, max_pixels=max_pixels)


@_raising_undecodable
def load_upright(data: bytes, *, max_pixels: int) -> Image.Image:
    """Return the whole picture, upright, for `to_pixels`; raises Undecodable. Never decodes more than `max_pixels`."""
    return _upright_image(data, max_pixels)


@_raising_undecodable
def to_pixels(image: Image.Image, spec: ImageSpec, *, max_pixels: int) -> "NDArray[np.uint8]":
    """Return what `decode` makes of a picture that `load_upright` has loaded, or of a crop of it; raises Undecodable.

    Colours that a PNG calls transparent are still known here: Pillow keeps them with the image and with its crops.
    """
    return resize_and_crop(_in_mode(image, spec.mode), spec, max_pixels=max_pixels)


def _upright_image(data: bytes, max_pixels: int) -> Image.Image:
    image = _plain_png(data, max_pixels=max_pixels)
    return _upright(load_image(data, max_pixels=max_pixels)) if image is None else image


def _in_mode(image: Image.Image, mode: Mode) -> Image.Image:
    wanted = mode.of_pillow
    # A PNG may call one colour transparent without having an alpha channel.
    return _coloured(image, wanted) if image.mode != wanted or "transparency" in image.info else image


def decode_sized(
    data: bytes, spec: ImageSpec, *, max_pixels: int, resize_and_crop: ResizeAndCrop = resize_and_crop
) -> SizedPixels:
    """Return what `decode` returns, with the size of the whole picture, upright; raises Undecodable."""
    size = (0, 0)

    def noting_size(image: Image.Image, spec: ImageSpec, *, max_pixels: int) -> "NDArray[np.uint8]":
        nonlocal size
        size = image.size
        return resize_and_crop(image, spec, max_pixels=max_pixels)

    pixels = decode(data, spec, max_pixels=max_pixels, resize_and_crop=noting_size)
    return SizedPixels(pixels, size)


def estimated_work(data: bytes, spec: ImageSpec) -> float:
    """Return the milliseconds that `decode` may take at most, roughly; 0 for what it refuses at once."""
    if _is_small_png(data):
        return 0.0
    kind = identify_format(data)
    if kind is None:
        return 0.0
    try:
        width, height, work = read_header(data, kind[1])
    except BrokenImageError:
        return 0.0
    if spec.resize_size is not None and width and height:
        across, down = resized_size((width, height), spec)
        # Measured: 5 ns a pixel read and 25 a pixel written, with the largest filter.
        work += (width * height * 5 + across * down * 25) * 1e-6
    return work


def _is_small_png(data: bytes) -> bool:
    """Tell whether this is a small PNG: one data chunk, at most 256 x 256 pixels, no narrow strip. 0.4 microseconds."""
    if len(data) < _PNG_START.size or data[37:41] != b"IDAT" or not data.startswith(b"\x89PNG"):
        return False
    width, height = _PNG_SIZE.unpack_from(data, 16)
    if width * height > _SMALL or width > 8 * height or height > 8 * width:
        return False
    return int.from_bytes(data[33:37], "big") + 57 == len(data)


def _plain_png(data: bytes, *, max_pixels: int) -> Image.Image | None:
    """Return the image of a PNG that consists of header, one data chunk and end; None for any other file.

    8-bit grey or RGB, as Pillow's own encoder writes small images. Uses the C decoder that `Image.open` uses, without
    its walk over the chunks in Python: 27 instead of 40 microseconds for a 32x32 image.
    """
    if len(data) < _PNG_START.size + 16 or not data.endswith(_PNG_END):
        return None
    signature, chunk, header, checksum, length, name = _PNG_START.unpack_from(data)
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"\x00\x00\x00\rIHDR" or name != b"IDAT":
        return None
    if _PNG_START.size + length + 4 + len(_PNG_END) != len(data) or zlib.crc32(b"IHDR" + header) != checksum:
        return None
    width, height, depth, colour, compression, filtering, interlaced = _PNG_HEADER.unpack(header)
    mode = _PNG_MODES.get((depth, colour))
    if mode is None or compression or filtering or interlaced or not width or not height:
        return None
    check_pixels(width, height, max_pixels=max_pixels)
    body = memoryview(data)[_PNG_START.size : _PNG_START.size + length]
    return Image.frombytes(mode, (width, height), body, "zip", mode, 0)


def _upright(image: Image.Image) -> Image.Image:
    """Turn and mirror the image as its EXIF or XMP orientation says; Pillow itself does so for TIFFs."""
    info = image.info
    if not any(key in info for key in _MAY_HOLD_ORIENTATION):
        return image
    try:
        transposition = _TRANSPOSITIONS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  an image with broken EXIF is still an image
        return image
    return image if transposition is None else image.transpose(transposition)


def _coloured(image: Image.Image, mode: str) -> Image.Image:
    """Convert to a mode of Pillow's, RGB or L, with white behind what is transparent."""
    if image.mode == "LAB":
        image = image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _cut(image: Image.Image, part: Window, spec: ImageSpec) -> Image.Image:
    """Cut out a part, with black around an image that is smaller, as torchvision does; or add the spec's border."""
    if not spec.fill:
        return image.crop(part.box)
    padded = Image.new(image.mode, (part.width, part.height), (spec.fill,) * spec.mode.channels)
    padded.paste(image, (-part.left, -part.top))
    return padded
