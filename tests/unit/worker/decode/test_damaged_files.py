"""Gateway and worker agree on damaged files: damaged metadata is accepted, damaged pixels are refused."""

import io
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain.errors import UndecodableImage
from shared.domain.image import ImageSpec
from shared.image_files.formats import SUPPORTED
from tests.support.damaged_files import damaged, with_png_checksums
from tests.unit.api.uploads.test_image_check import KINDS, REFUSALS, facts
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode

FUZZING = settings(derandomize=True, max_examples=1500)
LIMIT = 1_000_000
AS_IT_IS = ImageSpec(None, (200, 200))
files = damaged(list(KINDS.values()), mend=with_png_checksums)
# No error text may contain Python's objects and classes, addresses or paths.
INTERNAL = re.compile(r"<|>| at 0x|Error|Exception|Traceback|/|PIL|libtiff|None")
TRUNCATED = "its image data ends before the last pixel"


def pixels(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return decode(data, AS_IT_IS, max_pixels=LIMIT)


def refusal(data: bytes) -> str:
    """Return the error text of a refused image, '' for one that is decoded."""
    try:
        pixels(data)
    except Undecodable as error:
        return str(error)
    return ""


def pillow_decodes(data: bytes) -> bool:
    """Return whether Pillow alone decodes a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=[name for name in SUPPORTED if name != "NPY"]) as image:
                image.convert("RGB")
        except Exception:  # noqa: BLE001  what its decoders raise is an open set
            return False
    return True


@pytest.mark.slow  # 1,500 damaged files
@FUZZING
@given(files)
def test_files_the_gateway_accepts_are_decoded_or_fail_with_a_reason(data: bytes) -> None:
    try:
        facts(data)
    except REFUSALS:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what is damaged
        words = refusal(data)
    assert not INTERNAL.search(words)


@pytest.mark.slow  # 1,500 damaged files
@FUZZING
@given(files)
def test_files_the_gateway_refuses_are_not_decoded_by_pillow(data: bytes) -> None:
    try:
        facts(data)
    except UndecodableImage as refused:
        reason = refused.reason
    except REFUSALS:
        return
    else:
        return
    assert any(words in reason for words in STRICTER) or not pillow_decodes(data), reason


# Where Pillow decodes something, and what it decodes is not what the file says.
STRICTER = (
    "its samples",  # signed, floating-point
    "its colours",
    "its inks",
    "checksum",  # of the header
    "in fill bytes",
    "does not exist",
    "its header is invalid",  # pixels that begin at 0
    "a directory has more than 4,096 entries",  # a damaged count: Pillow reads as many as there are
    "its directory has no image data",  # its position is in a tag of a type that no position has
    # Where more than 16 bytes of a GIF's last block are missing: whether the last pixel is before them is known only
    # to who decodes.
    "it ends inside its first frame",
)


def gif_with_another_block(kind: str, length: int) -> bytes:
    """Return a GIF whose frame has one more block of that many bytes, after the one with the last pixel."""
    return KINDS[kind][:-2] + bytes([length]) + bytes(range(length)) + b"\0;"


@pytest.mark.parametrize("kind", ["gif-L", "gif-P"])
@pytest.mark.parametrize(
    # Bytes of the block that are missing: at -1 the trailer is, at 0 the empty block too, one of the sixteen.
    ("missing", "accepted"),
    [(-2, True), (-1, True), (0, True), (1, True), (15, True), (16, False), (40, False)],
)
def test_a_gif_may_lack_sixteen_bytes_of_its_first_frame(kind: str, missing: int, *, accepted: bool) -> None:
    whole = gif_with_another_block(kind, 40)
    data = whole[: len(whole) - 2 - missing]
    assert pillow_decodes(data)
    if accepted:
        assert facts(data).width == 23
        assert np.array_equal(pixels(data), pixels(KINDS[kind]))
    else:
        with pytest.raises(UndecodableImage, match="ends inside its first frame"):
            facts(data)


@pytest.mark.parametrize("ending", [b"\x7f\0\0", b"\x7f", b"\xff\0", b"\x13\x13"])
def test_a_gif_that_announces_a_block_it_lacks_is_refused_though_its_pixels_are_there(ending: bytes) -> None:
    data = KINDS["gif-P"][:-2] + ending
    assert pillow_decodes(data)
    with pytest.raises(UndecodableImage, match="ends inside its first frame"):
        facts(data)


@given(kind=st.sampled_from(["gif-L", "gif-P"]), length=st.integers(1, 80), cut=st.integers(0, 260))
def test_a_gif_cut_anywhere_is_accepted_only_where_few_bytes_complete_it(kind: str, length: int, cut: int) -> None:
    whole = gif_with_another_block(kind, length)
    data = whole[: max(13, len(whole) - cut)]
    try:
        facts(data)
    except REFUSALS:
        return
    # With what is missing it is a whole file, and of the same pixels where those are there.
    completed = data + bytes(17) + b";"
    assert facts(completed).width == facts(data).width
    if pillow_decodes(data):
        assert np.array_equal(pixels(completed), pixels(data))


def chunk(name: bytes, content: bytes, *, damage: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content) ^ damage)


def after_header(png: bytes, *chunks: bytes) -> bytes:
    return png[:33] + b"".join(chunks) + png[33:]


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


PNG, JPEG, GIF, WEBP = KINDS["png-RGB"], KINDS["jpeg-RGB"], KINDS["gif-P"], KINDS["webp-lossy"]
LARGE_PROFILE = b"ICC\0\0" + zlib.compress(bytes(3_000_000))
BEFORE_END = PNG.index(b"IEND") - 4


def tiff_with_broken_notes() -> bytes:
    """Return a TIFF whose description and XMP are beyond its end."""
    notes = {270: "a" * 40, 700: b"x" * 40}
    file = io.BytesIO()
    Image.open(io.BytesIO(KINDS["tiff-RGB"])).save(file, "TIFF", tiffinfo=notes)
    data = bytearray(file.getvalue())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, place)[0] in notes:
            struct.pack_into("<I", data, place + 8, len(data) + 99)
    return bytes(data)


SPOILT = {
    "PNG, a profile of 3 MB": (PNG, after_header(PNG, chunk(b"iCCP", LARGE_PROFILE))),
    "PNG, a text of 3 MB": (PNG, after_header(PNG, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000))))),
    "PNG, a checksum in a time": (PNG, after_header(PNG, chunk(b"tIME", bytes(7), damage=1))),
    "PNG, a checksum in a text": (PNG, after_header(PNG, chunk(b"tEXt", b"a\0b", damage=1))),
    "PNG, a checksum after the pixels": (
        PNG,
        PNG[:BEFORE_END] + chunk(b"tEXt", b"a\0b", damage=1) + PNG[BEFORE_END:],
    ),
    "PNG, no end": (PNG, PNG[:-12]),
    "PNG, half an end": (PNG, PNG[:-7]),
    "PNG, no checksum of the pixels": (PNG, PNG[:-16]),
    "PNG, a chunk cut off after the pixels": (PNG, PNG[:-12] + chunk(b"tEXt", b"a\0" + bytes(90))[:40]),
    "JPEG, no end": (JPEG, JPEG[:-2]),
    "JPEG, zeros for an end": (JPEG, JPEG[:-2] + bytes(100)),
    "JPEG, half an end": (JPEG, JPEG[:-1]),
    "JPEG, a broken EXIF": (JPEG, JPEG[:2] + segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff") + JPEG[2:]),
    "JPEG, a broken MPF": (JPEG, JPEG[:2] + segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff") + JPEG[2:]),
    "JPEG, a broken Photoshop note": (JPEG, JPEG[:2] + segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed") + JPEG[2:]),
    "JPEG, a broken profile": (JPEG, JPEG[:2] + segment(0xE2, b"ICC_PROFILE\0\1") + JPEG[2:]),
    "GIF, no trailer": (GIF, GIF[:-1]),
    "GIF, no last block": (GIF, GIF[:-2]),
    "WEBP, EXIF cut off": (
        WEBP,
        WEBP[:4] + struct.pack("<I", len(WEBP) + 92) + WEBP[8:] + b"EXIF\x60\0\0\0" + bytes(9),
    ),
    "BMP, padding": (KINDS["bmp-RGB"], KINDS["bmp-RGB"][:-3]),
    "TIFF, notes beyond its end": (KINDS["tiff-RGB"], tiff_with_broken_notes()),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_intact_pixels_are_read_despite_damaged_metadata(kind: str) -> None:
    good, spoilt = SPOILT[kind]
    assert facts(spoilt).width == 23
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(pixels(spoilt), pixels(good))


def test_the_orientation_is_applied_despite_other_damaged_tags() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.open(io.BytesIO(PNG)).save(file, "PNG", exif=exif)
    turned = file.getvalue()
    assert np.array_equal(pixels(after_header(turned, chunk(b"iCCP", LARGE_PROFILE))), pixels(turned))


@pytest.mark.parametrize("zeros", [0, 100, 5000])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_half_a_jpeg_is_refused(mode: str, share: float, zeros: int) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG", quality=90)
    data = file.getvalue()
    start = data.index(b"\xff\xda")
    cut = data[: start + int((len(data) - start) * share)] + bytes(zeros)
    with pytest.raises(Undecodable, match=TRUNCATED):
        pixels(cut)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_half_an_image_is_refused_by_gateway_or_worker(kind: str) -> None:
    data = KINDS[kind]
    # Only the first frame of an animation is decoded.
    data = data[: len(data) // (4 if kind.endswith("animated") else 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            facts(data)
        except REFUSALS:
            return
        with pytest.raises(Undecodable):
            pixels(data)


def test_a_png_with_a_damaged_critical_chunk_is_refused() -> None:
    palette = KINDS["png-P"]
    place = palette.index(b"PLTE") + 6
    broken = palette[:place] + bytes([palette[place] ^ 1]) + palette[place + 1 :]
    with pytest.raises(Undecodable):
        pixels(broken)


def test_data_that_is_no_image_fails_with_a_reason() -> None:
    with pytest.raises(Undecodable, match="no image of a kind that is read"):
        pixels(b"hello")


def test_a_second_page_with_numbers_in_the_files_header_fails_with_a_reason() -> None:
    def directory(*entries: tuple[int, int, int], following: int) -> bytes:
        written = (struct.pack("<HHII", tag, 4, count, value) for tag, count, value in entries)
        return struct.pack("<H", len(entries)) + b"".join(written) + struct.pack("<I", following)

    image = ((256, 1, 1), (258, 1, 8), (259, 1, 1), (262, 1, 1), (273, 1, 0), (279, 1, 1))
    preview = directory((254, 1, 1), *image, (257, 1, 1), following=8 + 2 + 8 * 12 + 4)
    # Its height is a list that begins at the file's fourth byte: it changes with where the first directory is.
    page = directory(*image, (257, 2, 4), following=0)
    assert refusal(b"II*\0" + struct.pack("<I", 8) + preview + page).endswith("lie in the file's header")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow says so, and reads on
@pytest.mark.parametrize("claimed", [20, 200, 4_000])
def test_a_directory_that_claims_more_entries_than_the_file_has_is_read(claimed: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    (directory,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<H", data, directory, claimed)
    assert pixels(bytes(data))[100, 100].tolist() == [1, 2, 3]
    assert facts(bytes(data)).width == 8
