"""Samples are converted as the file says, or the file is refused with a reason. Pixels are computed by hand.

Over 300 lines: the formats' ways to say what their samples mean are tested side by side.
"""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.domain.errors import UndecodableImage
from shared.domain.image import ImageSpec, Mode
from tests.support.tiffs import FLOAT, LONG, SHORT, SIGNED, page, tiff
from tests.unit.api.uploads.test_image_check import facts
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode

LIMIT = 1_000_000


def grey(data: bytes, width: int, height: int = 1) -> list[int]:
    """Return the pixels as a model of grey images gets them; the gateway accepts the file as well."""
    facts(data)
    spec = ImageSpec(None, (height, width), mean=(0.0,), std=(1.0,), mode=Mode.GREYSCALE)
    found: list[int] = decode(data, spec, max_pixels=LIMIT).ravel().tolist()
    return found


def colours(data: bytes, width: int, height: int = 1) -> list[list[int]]:
    """Return the pixels as a model of colour images gets them."""
    facts(data)
    found: list[list[int]] = decode(data, ImageSpec(None, (height, width)), max_pixels=LIMIT).reshape(-1, 3).tolist()
    return found


def refused(data: bytes) -> str:
    """Return the error text with which gateway and worker refuse a file."""
    with pytest.raises(UndecodableImage) as gateway:
        facts(data)
    with pytest.raises(Undecodable) as worker:
        decode(data, ImageSpec(None, (1, 1)), max_pixels=LIMIT)
    assert gateway.value.reason in str(worker.value)
    return gateway.value.reason


def sixteen(*values: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(values)}H", *values)


RGB = {262: (SHORT, [2]), 277: (SHORT, [3]), 258: (SHORT, [8] * 3)}
DEEP = {258: (SHORT, [16])}
VALUES = (0, 0x1234, 0x8000, 0xFFFF)

# TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("photometric", "expected"), [(1, [0, 0x12, 0x80, 255]), (0, [255, 0xED, 0x7F, 0])])
def test_sixteen_bits_are_black_or_white_at_zero_as_the_tag_says(
    *, photometric: int, expected: list[int], packed: bool, order: str
) -> None:
    data = sixteen(*VALUES, order=order)
    more = {**DEEP, 262: (SHORT, [photometric]), 259: (SHORT, [8 if packed else 1])}
    found = tiff(page(4, 1, zlib.compress(data) if packed else data, more), order=order)
    assert grey(found, 4) == expected


@pytest.mark.parametrize(("bits", "data"), [(1, b"\xa0"), (2, b"\xcc"), (4, b"\xf0\xf0"), (8, b"\xff\0\xff\0")])
def test_white_is_zero_in_every_depth(bits: int, data: bytes) -> None:
    for photometric, expected in ((1, [255, 0, 255, 0]), (0, [0, 255, 0, 255])):
        found = tiff(page(4, 1, data, {258: (SHORT, [bits]), 262: (SHORT, [photometric])}))
        assert grey(found, 4) == expected


def test_twelve_bits_in_sixteen_are_scaled_where_the_file_says_so() -> None:
    data = sixteen(0, 0x123, 0x800, 0xFFF)
    assert grey(tiff(page(4, 1, data, {**DEEP, 281: (SHORT, [0xFFF])})), 4) == [0, 0x12, 0x80, 255]
    white = {**DEEP, 281: (SHORT, [0xFFF]), 262: (SHORT, [0])}
    assert grey(tiff(page(4, 1, data, white)), 4) == [255, 0xED, 0x7F, 0]
    assert grey(tiff(page(4, 1, data, DEEP)), 4) == [0, 1, 8, 15]
    assert grey(tiff(page(4, 1, sixteen(0, 0x1FF, 0x3FF, 0x3FF), {**DEEP, 281: (SHORT, [0x3FF])})), 4) == [
        0,
        127,
        255,
        255,
    ]


def test_a_maximum_tag_that_is_a_statistic_is_ignored() -> None:
    assert grey(tiff(page(4, 1, sixteen(*VALUES), {**DEEP, 281: (SHORT, [3000])})), 4) == [0, 0x12, 0x80, 255]


def test_twelve_bits_packed_are_scaled() -> None:
    assert grey(tiff(page(2, 1, bytes([0x80, 0x0F, 0xFF]), {258: (SHORT, [12])})), 2) == [0x80, 255]


@pytest.mark.parametrize("photometric", [1, 0])
def test_floating_point_is_scaled_from_the_range_that_the_file_names(photometric: int) -> None:
    data = struct.pack("<5f", -1.0, 0.0, 0.5, 3.0, float("nan"))
    more = {
        258: (SHORT, [32]),
        339: (SHORT, [3]),
        340: (FLOAT, [0.0]),
        341: (FLOAT, [1.0]),
        262: (SHORT, [photometric]),
    }
    expected = [0, 0, 128, 255, 0]
    assert grey(tiff(page(5, 1, data, more)), 5) == ([255 - one for one in expected] if photometric == 0 else expected)


def test_signed_samples_are_scaled_from_the_range_that_the_file_names() -> None:
    more = {**DEEP, 339: (SHORT, [2]), 340: (SIGNED, [-1000]), 341: (SIGNED, [1000])}
    assert grey(tiff(page(4, 1, struct.pack("<4h", -1000, 0, 999, 1000), more)), 4) == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({258: (SHORT, [32]), 339: (SHORT, [3])}, "SMinSampleValue"),
        ({258: (SHORT, [32]), 339: (SHORT, [3]), 340: (FLOAT, [1.0]), 341: (FLOAT, [1.0])}, "SMinSampleValue"),
        ({258: (SHORT, [32])}, "SMinSampleValue"),
        ({258: (SHORT, [16]), 339: (SHORT, [2])}, "SMinSampleValue"),
        ({339: (SHORT, [2])}, "signed or floating-point"),
        ({339: (SHORT, [4])}, "neither whole nor floating-point"),
        ({262: (SHORT, [9])}, "PhotometricInterpretation 9"),
        ({259: (SHORT, [34712])}, "Compression 34712"),
        ({262: (SHORT, [10])}, "PhotometricInterpretation 10"),
        ({346: (SHORT, [1])}, "Indexed"),
        ({262: (SHORT, [5]), 277: (SHORT, [4]), 258: (SHORT, [8] * 4), 332: (SHORT, [2])}, "InkSet"),
        ({262: (SHORT, [6]), 277: (SHORT, [3]), 258: (SHORT, [8] * 3)}, "subsampled"),
    ],
)
def test_tiffs_that_would_be_misread_are_refused_with_a_reason(more: dict[int, Any], words: str) -> None:
    assert words in refused(tiff(page(4, 4, bytes(200), more)))


@pytest.mark.parametrize(
    "more", [{258: (SHORT, [6])}, {**RGB, 258: (SHORT, [5, 6, 5])}, {277: (SHORT, [3]), 258: (SHORT, [8] * 3)}]
)
def test_tiffs_that_pillow_cannot_read_fail_with_a_reason(more: dict[int, Any]) -> None:
    with pytest.raises(Undecodable, match="this combination of colours, bits and extra samples is not read"):
        grey(tiff(page(4, 4, bytes(200), more)), 4, 4)


FULL = {254: (LONG, [0])}
PREVIEW = page(2, 1, b"\x07\x07", {254: (LONG, [1])})
IMAGE = page(4, 1, b"\0\x40\x80\xff", FULL)
MASK = page(4, 1, b"\xf0", {254: (LONG, [4]), 258: (SHORT, [1]), 262: (SHORT, [4])})


@pytest.mark.parametrize(
    "data",
    [
        tiff(PREVIEW, IMAGE),
        tiff(PREVIEW, below=[IMAGE]),
        tiff(PREVIEW, PREVIEW, MASK, IMAGE),
        tiff(MASK, IMAGE),
        tiff(page(2, 1, b"\7\7", {255: (SHORT, [2])}), IMAGE),
        tiff(IMAGE, PREVIEW),
        tiff(PREVIEW, IMAGE, order=">"),
    ],
    ids=["next", "below", "many", "mask", "of old", "first", "other order"],
)
def test_the_full_page_is_predicted_not_its_preview(data: bytes) -> None:
    assert facts(data).width == 4
    assert grey(data, 4) == [0, 0x40, 0x80, 255]


def test_a_file_of_previews_alone_is_its_first_page() -> None:
    assert grey(tiff(PREVIEW), 2) == [7, 7]


def test_reading_a_circular_chain_of_pages_ends() -> None:
    data = bytearray(tiff(PREVIEW, PREVIEW))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert grey(bytes(data), 2) == [7, 7]


def test_an_orientation_is_honoured_on_the_page_it_stands_on() -> None:
    turned = page(2, 2, b"\1\2\3\4", {**FULL, 274: (SHORT, [6])})
    assert grey(tiff(PREVIEW, turned), 2, 2) == [3, 1, 4, 2]


def test_the_order_of_bits_is_honoured() -> None:
    more = {258: (SHORT, [1]), 266: (SHORT, [2])}
    assert grey(tiff(page(4, 1, b"\x05", more)), 4) == [255, 0, 255, 0]
    assert grey(tiff(page(2, 1, b"\x80\x01", {266: (SHORT, [2])})), 2) == [1, 128]


def test_a_predictor_is_honoured() -> None:
    data = zlib.compress(bytes([10, 5, 5, 255]))
    assert grey(tiff(page(4, 1, data, {259: (SHORT, [8]), 317: (SHORT, [2])})), 4) == [10, 15, 20, 19]


@pytest.mark.parametrize("packed", [False, True])
def test_separate_planes_are_combined(*, packed: bool) -> None:
    planes = [bytes([1, 2]), bytes([3, 4]), bytes([5, 6])]
    data: Any = [zlib.compress(plane) for plane in planes] if packed else planes
    more = {**RGB, 284: (SHORT, [2]), 259: (SHORT, [8 if packed else 1])}
    one = page(2, 1, b"", more)
    one[0] = data
    assert colours(tiff(one), 2) == [[1, 3, 5], [2, 4, 6]]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (0, [50, 25, 0]),  # a fourth sample without a meaning
        (1, [50 + 127, 25 + 127, 0 + 127]),  # colours multiplied by their opacity
        (2, [152, 140, 127]),  # 128/255 of the colour, the rest white
    ],
)
def test_an_extra_sample_has_the_meaning_its_tag_says(extra: int, expected: list[int]) -> None:
    more = {**RGB, 277: (SHORT, [4]), 258: (SHORT, [8] * 4), 338: (SHORT, [extra])}
    (found,) = colours(tiff(page(1, 1, bytes([50, 25, 0, 128]), more)), 1)
    assert np.abs(np.array(found) - expected).max() <= 1


@pytest.mark.parametrize(("extra", "expected"), [(0, 50), (1, 50 + 127), (2, 152)])
def test_a_grey_images_extra_sample_has_the_meaning_its_tag_says(extra: int, expected: int) -> None:
    more = {277: (SHORT, [2]), 258: (SHORT, [8] * 2), 338: (SHORT, [extra])}
    (found,) = grey(tiff(page(1, 1, bytes([50, 128]), more)), 1)
    assert abs(found - expected) <= 1


def test_cielab_is_converted_to_rgb() -> None:
    """Of sRGB red, CIELab with white point D50 is 54.3, 80.8, 69.9 (8 bits: L times 2.55, a and b as they are)."""
    more = {**RGB, 262: (SHORT, [8])}
    found = colours(tiff(page(2, 1, bytes([138, 81, 70, 255, 0, 0]), more)), 2)
    assert np.abs(np.array(found) - [[255, 0, 0], [255, 255, 255]]).max() <= 6
    assert len(grey(tiff(page(2, 1, bytes([138, 81, 70, 255, 0, 0]), more)), 2)) == 2


def test_cmyk_inks_are_converted_to_rgb() -> None:
    more = {262: (SHORT, [5]), 277: (SHORT, [4]), 258: (SHORT, [8] * 4)}
    assert colours(tiff(page(2, 1, bytes([255, 0, 0, 0, 0, 0, 0, 255]), more)), 2) == [[0, 255, 255], [0, 0, 0]]


def test_a_sixteen_bit_colour_map_is_applied() -> None:
    red = [0xFFFF, 0x8000] + [0] * 254
    more = {262: (SHORT, [3]), 320: (SHORT, red + [0] * 256 + [0x1234] + [0] * 255)}
    assert colours(tiff(page(2, 1, b"\0\1", more)), 2) == [[255, 0, 0x12], [0x80, 0, 0]]


def test_zero_is_black_where_the_tag_is_missing() -> None:
    assert grey(tiff(page(2, 1, b"\x10\xf0", photometric=262)), 2) == [0x10, 0xF0]


def test_ycbcr_without_subsampling_is_read() -> None:
    more = {**RGB, 262: (SHORT, [6]), 530: (SHORT, [1, 1])}
    (found,) = colours(tiff(page(1, 1, bytes([76, 85, 255]), more)), 1)
    assert np.abs(np.array(found) - [254, 0, 0]).max() <= 2


# PNG


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of one row, with chunks before its data."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    before = b"".join(chunk(*one) for one in chunks)
    data = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "row", "clear", "expected"),
    [
        (1, b"\x40", 0, [255, 255]),
        (1, b"\x40", 1, [0, 255]),
        (2, b"\x60", 2, [85, 255]),
        (4, b"\x5a", 10, [85, 255]),
        (8, b"\x5a\x20", 0x20, [0x5A, 255]),
        (16, b"\x5a\x20\x5a\x21", 0x5A21, [0x5A, 255]),
    ],
)
def test_a_transparent_grey_is_white_in_every_depth(depth: int, row: bytes, clear: int, expected: list[int]) -> None:
    assert grey(png(2, depth, 0, row, (b"tRNS", struct.pack(">H", clear))), 2) == expected


def test_a_transparent_colour_is_white_in_both_depths() -> None:
    assert colours(png(2, 8, 2, bytes([1, 2, 3, 1, 2, 4]), (b"tRNS", sixteen(1, 2, 4, order=">"))), 2) == [
        [1, 2, 3],
        [255, 255, 255],
    ]
    row = sixteen(0x0101, 0x0202, 0x0303, 0x0101, 0x0202, 0x0304, order=">")
    # The high bytes of both are alike.
    assert colours(png(2, 16, 2, row, (b"tRNS", sixteen(0x0101, 0x0202, 0x0304, order=">"))), 2) == [
        [1, 2, 3],
        [255, 255, 255],
    ]


def test_significant_bits_scale_samples_stored_in_the_low_bits() -> None:
    low = sixteen(0, 0x123, 0x801, 0xFFF, order=">")
    assert grey(png(4, 16, 0, low, (b"sBIT", b"\x0c")), 4) == [0, 0x12, 0x80, 255]
    assert grey(png(4, 16, 0, low), 4) == [0, 1, 8, 15]


@pytest.mark.parametrize(
    "values", [(0, 0x1230, 0x8000, 0xFFF0), (0, 0x1231, 0x8008, 0xFFFF), (0, 0x0010, 0x0FF0, 0x0200)]
)
def test_significant_bits_are_ignored_where_samples_fill_sixteen_bits(values: tuple[int, ...]) -> None:
    row = sixteen(*values, order=">")
    assert grey(png(4, 16, 0, row, (b"sBIT", b"\x0c")), 4) == [value >> 8 for value in values]


@pytest.mark.parametrize(
    "one",
    [
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"sRGB", b"\0"),
        (b"iCCP", b"a\0\0" + zlib.compress(b"no profile")),
        (b"bKGD", sixteen(1, 2, 3, order=">")),
        (b"sBIT", b"\5\6\5"),
        (b"pHYs", struct.pack(">IIB", 1, 7, 0)),
        (b"tIME", bytes(7)),
        (b"sPLT", b"a\0\x08" + bytes(6)),
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"tEXt", b"a\0b"),
        (b"abCd", b"?"),
    ],
)
def test_chunks_that_change_no_sample_are_ignored(one: tuple[bytes, bytes]) -> None:
    assert colours(png(1, 8, 2, bytes([9, 99, 199]), one), 1) == [[9, 99, 199]]


def test_an_animated_pngs_default_image_is_predicted() -> None:
    frames = [Image.new("RGB", (3, 1), colour) for colour in ((9, 9, 9), (200, 0, 0))]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert colours(file.getvalue(), 3) == [[9, 9, 9]] * 3


# GIF, BMP, WebP, JPEG


def gif(screen: tuple[int, int], box: tuple[int, int, int, int], index: int, control: bytes = b"") -> bytes:
    """Return a GIF of colours black, red and green whose first frame is one pixel."""
    file = io.BytesIO()
    Image.new("P", (1, 1), index).save(file, "GIF")
    table = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    # Clear, the index, end: codes of three bits, the lowest first.
    code = 4 | index << 3 | 5 << 6
    frame = b"," + struct.pack("<HHHHB", *box, 0) + b"\2\2" + struct.pack("<H", code) + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, 0, 0) + table + control + frame + b";"


def test_the_area_outside_a_gifs_first_frame_is_white() -> None:
    assert colours(gif((3, 1), (1, 0, 1, 1), 1), 3) == [[255, 255, 255], [255, 0, 0], [255, 255, 255]]


def test_a_gifs_transparent_colour_is_white() -> None:
    control = b"!\xf9\4\1\0\0\1\0"
    assert colours(gif((1, 1), (0, 0, 1, 1), 1, control), 1) == [[255, 255, 255]]
    assert colours(gif((1, 1), (0, 0, 1, 1), 2, control), 1) == [[0, 255, 0]]


def bitmap(
    depth: int, row: bytes, *, compression: int = 0, masks: bytes = b"", header: int = 40, height: int = 1
) -> bytes:
    fields = struct.pack("<IiiHHIIiiII", header, 1, height, 1, depth, compression, len(row), 0, 0, 0, 0)
    rest = masks.ljust(header - 40, b"\0") if header > 40 else masks
    offset = 14 + len(fields) + len(rest)
    return b"BM" + struct.pack("<IHHI", offset + len(row), 0, 0, offset) + fields + rest + row


def masks(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bitmap(24, bytes([3, 2, 1, 0])), [1, 2, 3]),
        (bitmap(32, bytes([3, 2, 1, 0])), [1, 2, 3]),  # the fourth byte has no meaning there
        (bitmap(16, struct.pack("<HH", 0x7C1F, 0)), [255, 0, 255]),
        (bitmap(16, struct.pack("<HH", 0xF81F, 0), compression=3, masks=masks(0xF800, 0x7E0, 0x1F)), [255, 0, 255]),
        (
            bitmap(32, bytes([3, 2, 1, 0]), compression=3, header=108, masks=masks(0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
            [255, 255, 255],
        ),
        (bitmap(24, bytes([3, 2, 1, 0]), height=-1), [1, 2, 3]),
    ],
    ids=["24", "32", "555", "565", "alpha", "top down"],
)
def test_a_bitmaps_bits_are_read_as_its_header_says(data: bytes, expected: list[int]) -> None:
    assert colours(data, 1) == [expected]


def test_unsupported_bitmap_masks_are_refused_with_a_reason() -> None:
    data = bitmap(32, bytes(4), compression=3, masks=masks(0x3FF00000, 0xFFC00, 0x3FF))
    with pytest.raises(Undecodable, match="Unsupported BMP bitfields layout"):
        colours(data, 1)


def test_the_area_outside_a_webps_first_frame_is_white() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (200, 0, 0)).save(file, "WEBP", lossless=True)
    picture = file.getvalue()[12:]
    animation = (
        b"VP8X"
        + struct.pack("<I", 10)
        + b"\x12\0\0\0"
        + bytes([3, 0, 0, 1, 0, 0])
        + b"ANIM"
        + struct.pack("<I", 6)
        + bytes(6)
    )
    frame = bytes([1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]) + bytes(4) + picture
    body = b"WEBP" + animation + b"ANMF" + struct.pack("<I", len(frame)) + frame
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert colours(data, 4, 2)[:4] == [[255, 255, 255], [255, 255, 255], [200, 0, 0], [200, 0, 0]]


def jpeg(mode: str, colour: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (8, 8), colour).save(file, "JPEG", quality=100, subsampling=0, **options)
    return file.getvalue()


def near(data: bytes, expected: list[int]) -> bool:
    return bool(np.abs(np.array(colours(data, 8, 8)) - expected).max() <= 3)


def test_a_jpegs_components_are_read_as_adobes_segment_says() -> None:
    assert near(jpeg("RGB", (200, 40, 90)), [200, 40, 90])
    assert near(jpeg("RGB", (200, 40, 90), keep_rgb=True), [200, 40, 90])
    # Without JFIF's segment and with Adobe's saying that nothing was transformed, components are red, green and blue.
    data = jpeg("RGB", (200, 40, 90))
    app0 = data.index(b"\xff\xe0")
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    untransformed = data[:app0] + adobe + data[app0 + 18 :]
    luminance = round(0.299 * 200 + 0.587 * 40 + 0.114 * 90)
    (first, *_) = colours(untransformed, 8, 8)
    assert abs(first[0] - luminance) <= 3


def test_a_jpeg_of_twelve_bits_is_refused_with_a_reason() -> None:
    data = jpeg("L", 7)
    place = data.index(b"\xff\xc0") + 4
    assert "12 bits" in refused(data[:place] + b"\x0c" + data[place + 1 :])


def test_a_cmyk_jpegs_inverted_inks_are_converted_to_rgb() -> None:
    assert near(jpeg("CMYK", (0, 255, 255, 0)), [255, 0, 0])
    assert near(jpeg("CMYK", (255, 0, 0, 0)), [0, 255, 255])
