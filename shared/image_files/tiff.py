"""Reads the headers of TIFF 6.0 and BigTIFF files: finds the page that is the image, checks its data and its tags."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from operator import add
from typing import Final

from shared.image_files.header import BrokenImageError, Header, OtherFormatError

Number = int | float
Tags = dict[int, tuple[Number, ...]]

MAX_STRIPS: Final = 100_000
MAX_ENTRIES: Final = 4_096
"""Entries of one directory at most; real ones have under a hundred."""
MAX_PAGES: Final = 64
"""Pages that are read at most to find the first that is no preview."""

_WHOLE: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_NUMBERS: Final = {**_WHOLE, 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
"""Types of numbers: TIFF's code and the letter of `struct`."""
NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
SAMPLES, ROWS_PER_STRIP, PLANAR, SUB_DIRECTORIES, INK_SET, SAMPLE_FORMAT = 277, 278, 284, 330, 332, 339
MAX_SAMPLE, S_MIN_SAMPLE, S_MAX_SAMPLE, INDEXED, SUBSAMPLING = 281, 340, 341, 346, 530
_RANGE: Final = frozenset({S_MIN_SAMPLE, S_MAX_SAMPLE})
_DNG_VERSION: Final = 50706
_DATA_TAGS: Final = ((273, 279), (324, 325))
"""Tags of the offsets and lengths of strips, and of tiles."""
_WANTED: Final = frozenset(
    {NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, ROWS_PER_STRIP, PLANAR}
    | {SUB_DIRECTORIES, INK_SET, SAMPLE_FORMAT, MAX_SAMPLE, S_MIN_SAMPLE, S_MAX_SAMPLE, INDEXED, SUBSAMPLING}
    | {_DNG_VERSION}
    | {tag for pair in _DATA_TAGS for tag in pair}
)
_MAKES_THE_IMAGE: Final = (_WANTED - {SUB_DIRECTORIES}) | {
    *(266, 274, 292, 293, 317, 320, 322, 323, 338, 347),
    *range(512, 522),
    *(529, 532),
}
"""Tags that decoding needs. Beside those read here: order of bits, orientation, fax options, predictor, colour map,
size of tiles, extra samples, and parameters of JPEG and YCbCr."""
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_YCBCR, _CMYK, _PALETTE = 6, 5, 3
_COLOURS: Final = frozenset({0, 1, 2, _PALETTE, _CMYK, _YCBCR, 8})
_CAMERA_RAW: Final = frozenset({32803, 34892})
UNCOMPRESSED: Final = 1
CCITT: Final = frozenset({2, 3, 4})
_NANOSECONDS: Final = {UNCOMPRESSED: 10, 2: 25, 3: 25, 4: 25, 5: 15, 6: 40, 7: 40, 8: 25, 32773: 15, 32946: 25}
_SLOW: Final = 90
"""Nanoseconds that a pixel of the other compressions (LZMA, Zstandard, WebP) may cost."""
_COMPRESSIONS: Final = frozenset({*_NANOSECONDS, 34925, 50000, 50001})
UNSIGNED, SIGNED, FLOATING = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Page:
    """One directory: its position in the file and the tags that are read here."""

    offset: int
    tags: Tags

    def number(self, tag: int, default: int) -> int:
        """Return a tag's first number, or the default where the tag is missing."""
        values = self.tags.get(tag)
        return int(values[0]) if values else default


def read_tiff(data: bytes) -> Header:
    """Return width, height and work of the page that is the image.

    Its strips or tiles must lie inside the file, and its tags must be ones that are read correctly.
    """
    page = full_page(data)
    try:
        width, height = int(page.tags[WIDTH][0]), int(page.tags[HEIGHT][0])
    except (KeyError, IndexError):
        raise BrokenImageError("its directory has no width and height") from None
    pieces = _pieces(page, len(data), width, height)
    _refuse_unsupported_tags(page)
    compression = page.number(COMPRESSION, UNCOMPRESSED)
    nanoseconds = _NANOSECONDS.get(compression, _SLOW) * max(1, page.number(SAMPLES, 1)) / 2
    return width, height, width * height * nanoseconds * 1e-6 + pieces * 0.02 + len(page.tags) * 0.01


def full_page(data: bytes) -> Page:
    """Return the first page that is neither a preview nor a mask; the first page if all are.

    Raises OtherFormatError for a camera's raw file, BrokenImageError for a file that can't be read.
    """
    if data[8:10] == b"CR":
        raise OtherFormatError("a camera's raw file (CR2)")
    first = None
    for page in _pages(data):
        if _DNG_VERSION in page.tags:
            raise OtherFormatError("a camera's raw file (DNG)")
        if page.number(PHOTOMETRIC, 0) in _CAMERA_RAW:
            raise OtherFormatError("a camera's raw file")
        first = first or page
        if not page.number(NEW_SUBFILE_TYPE, 0) & (_REDUCED | _MASK) and page.number(SUBFILE_TYPE, 1) != 2:  # noqa: PLR2004  a preview, by the older tag
            return page
    if first is None:
        raise BrokenImageError("it has no directory")
    return first


def with_first_page(data: bytes, page: Page) -> bytes:
    """Return the file with that page as its first one.

    Raises BrokenImageError where numbers of the page lie in the file's header, which this changes.
    """
    order, big = _layout(data)
    start, word = (8, "Q") if big else (4, "I")
    if struct.unpack_from(order + word, data, start)[0] == page.offset:
        return data
    offset = struct.pack(order + word, page.offset)
    made = data[:start] + offset + data[start + len(offset) :]
    again, _ = _directory(made, page.offset, order, big=big)
    if any(numbers != page.tags.get(tag) for tag, numbers in again.tags.items()):
        raise BrokenImageError("a directory's numbers lie in the file's header")
    return made


def _layout(data: bytes) -> tuple[str, bool]:
    """Return the byte order, as `struct` writes it, and whether it is a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")


def _pages(data: bytes) -> Iterator[Page]:
    """Yield the directories in order, then the first one's sub-directories; each once."""
    order, big = _layout(data)
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    below: list[int] = []
    while offset and offset not in seen and len(seen) < MAX_PAGES:
        page, following = _directory(data, offset, order, big=big)
        if not seen:
            below = [int(place) for place in page.tags.get(SUB_DIRECTORIES, ())]
        seen.add(offset)
        yield page
        offset = following
    for place in below[:MAX_PAGES]:
        if place not in seen:
            seen.add(place)
            yield _directory(data, place, order, big=big)[0]


def _directory(data: bytes, offset: int, order: str, *, big: bool) -> tuple[Page, int]:
    """Return one directory and the next one's position, 0 after the last."""
    word, count, entry, width = ("Q", "Q", "HHQ", 20) if big else ("I", "H", "HHI", 12)
    inline = struct.calcsize(f"{order}{word}")
    (entries,) = struct.unpack_from(order + count, data, offset)
    if entries > MAX_ENTRIES:
        raise BrokenImageError(f"a directory has more than {MAX_ENTRIES:,} entries")
    start = offset + struct.calcsize(order + count)
    # A directory that says it has more entries than the file has bytes for ends with the last whole one, as for Pillow.
    whole = min(entries, max(0, len(data) - start) // width)
    end = start + whole * width
    tags: Tags = {}
    for place in range(start, end, width):
        tag, kind, amount = struct.unpack_from(order + entry, data, place)
        # Of a repeated tag the first counts, as for Pillow: a second width must not replace the image's.
        if tag not in _WANTED or tag in tags or kind not in (_NUMBERS if tag in _RANGE else _WHOLE):
            continue
        number = _NUMBERS[kind]
        value, size = place + width - inline, amount * struct.calcsize(order + number)
        if size > inline:
            (value,) = struct.unpack_from(order + word, data, value)
            if value + size > len(data):
                continue  # ignored, as Pillow does
        if amount > MAX_STRIPS:
            raise BrokenImageError(f"a directory lists more than {MAX_STRIPS:,} numbers")
        layout = f"{order}{amount}{number}"
        tags[tag] = struct.unpack_from(layout, data, value)
    # The position after the last directory is sometimes cut off.
    is_followed = whole == entries and end + inline <= len(data)
    following = struct.unpack_from(order + word, data, end)[0] if is_followed else 0
    return Page(offset, tags), following


def _pieces(page: Page, size: int, width: int, height: int) -> int:
    """Return the number of strips or tiles; raises BrokenImageError where one lies beyond the file's end."""
    for offsets, lengths in _DATA_TAGS:
        places = page.tags.get(offsets)
        if not places:
            continue
        if page.number(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
            # The length follows from the pixels; the tag may be wrong.
            last, striped = max(places), offsets == _DATA_TAGS[0][0]
            end = last + (_strip_length(page, places.index(last), width, height) if striped else 1)
        else:
            # Lengths are sometimes left out; then each strip has at least one byte.
            end = max(map(add, places, page.tags.get(lengths) or (1,) * len(places)), default=0)
        if end > size:
            raise BrokenImageError("image data lies beyond its end")
        return len(places)
    raise BrokenImageError("its directory has no image data")


def _strip_length(page: Page, number: int, width: int, height: int) -> int:
    """Return the bytes of one strip of uncompressed samples; 1 where each colour has strips of its own."""
    if page.number(PLANAR, 1) != 1:
        return 1
    rows = max(1, page.number(ROWS_PER_STRIP, height))
    bits = page.number(BITS, 1) * page.number(SAMPLES, 1)
    return max(1, (width * bits + 7) // 8 * min(rows, height - number * rows))


def _refuse_unsupported_tags(page: Page) -> None:
    """Raise BrokenImageError for tags that Pillow would misread, or would refuse with a message of its own."""
    colours, compression = page.number(PHOTOMETRIC, 1), page.number(COMPRESSION, UNCOMPRESSED)
    if colours not in _COLOURS:
        raise BrokenImageError(f"its colours (PhotometricInterpretation {colours}) are not supported")
    if compression not in _COMPRESSIONS:
        raise BrokenImageError(f"its compression (Compression {compression}) is not supported")
    if colours == _CMYK and page.number(INK_SET, 1) != 1:
        raise BrokenImageError("its inks are not cyan, magenta, yellow and black (InkSet)")
    if page.number(INDEXED, 0) and colours != _PALETTE:
        raise BrokenImageError("its samples are numbers of colours without a colour map (Indexed)")
    # The tag's default is (2, 2).
    subsampled = colours == _YCBCR and page.number(SAMPLES, 1) > 1 and page.tags.get(SUBSAMPLING, (2, 2)) != (1, 1)
    if subsampled and compression == UNCOMPRESSED:
        raise BrokenImageError("its colours are subsampled (YCbCr) without compression, which is not supported")
    _refuse_samples_without_range(page)


def _refuse_samples_without_range(page: Page) -> None:
    """Raise BrokenImageError for signed, floating-point or 32-bit samples, unless the file states their range."""
    formats = set(page.tags.get(SAMPLE_FORMAT, (UNSIGNED,)))
    bits = {int(bits) for bits in page.tags.get(BITS, (1,))}
    if not formats <= {UNSIGNED, SIGNED, FLOATING}:
        raise BrokenImageError("its samples are neither whole nor floating-point numbers (SampleFormat)")
    if formats == {UNSIGNED} and max(bits, default=1) <= 16:  # noqa: PLR2004
        return
    if bits == {8} or page.number(SAMPLES, 1) != 1:
        raise BrokenImageError("its samples are signed or floating-point; supported is one of 16 or 32 bits a pixel")
    low, high = page.tags.get(S_MIN_SAMPLE), page.tags.get(S_MAX_SAMPLE)
    if not low or not high or not low[0] < high[0]:
        raise BrokenImageError(
            "its samples are signed, floating-point or of 32 bits, and it does not say their range "
            "(SMinSampleValue, SMaxSampleValue)"
        )


def only_image_tags(data: bytes) -> bytes:
    """Return the file with the image's page as its first directory, appended, without texts and profiles."""
    page = full_page(data)
    order, big = _layout(data)
    count, word, width = ("Q", "Q", 20) if big else ("H", "I", 12)
    (entries,) = struct.unpack_from(order + count, data, page.offset)
    start = page.offset + struct.calcsize(order + count)
    kept = []
    for place in range(start, start + entries * width, width):
        (tag,) = struct.unpack_from(order + "H", data, place)
        if tag in _MAKES_THE_IMAGE:
            kept.append(data[place : place + width])
    directory = struct.pack(order + count, len(kept)) + b"".join(kept) + bytes(struct.calcsize(order + word))
    # A directory must begin at an even position.
    offset = len(data) + len(data) % 2
    return with_first_page(data + bytes(len(data) % 2) + directory, Page(offset, page.tags))
