"""However a file is damaged, its header gives the size that Pillow reads, or one of three errors."""

import struct
import tracemalloc
import warnings

import pytest
from hypothesis import given, settings

from shared.domain.errors import ImageTooLarge, UndecodableImage
from tests.support.damaged_files import damaged, with_png_checksums
from tests.unit.api.uploads.test_image_check import KINDS, REFUSALS, facts, opened

FUZZING = settings(derandomize=True, max_examples=600)
damaged_files = damaged(list(KINDS.values()), mend=with_png_checksums)
# A TIFF's strips, listed twice, are the most that is made of a file; none of these has over 30 KB.
MOST_MEMORY = 1_000_000


def by_pillow(data: bytes) -> tuple[str | None, int, int] | None:
    """Return format, width and height as Pillow or NumPy reads them, None where it can't open the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is damaged
        try:
            return opened(data)
        except Exception:  # noqa: BLE001  what its readers raise is an open set
            return None


@pytest.mark.slow
@FUZZING
@given(damaged_files)
def test_a_damaged_file_is_refused_or_has_the_size_that_pillow_reads(data: bytes) -> None:
    try:
        found = facts(data)
    except REFUSALS:
        return
    assert by_pillow(data) in (None, (found.format, found.width, found.height))


@pytest.mark.slow
@FUZZING
@given(damaged_files)
def test_reading_a_damaged_file_takes_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        facts(data)
    except REFUSALS:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY


def tiff(*entries: tuple[int, int]) -> bytes:
    """Return a TIFF whose first directory has these tags and one strip of 23x11 bytes."""
    strip = 8 + 2 + 12 * (len(entries) + 2) + 4
    tags = [*entries, (273, strip), (279, 23 * 11)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4 + 23 * 11)


GREY = ((258, 8), (259, 1), (262, 1), (277, 1), (278, 11))


def test_the_first_of_a_repeated_tiff_tag_counts() -> None:
    data = tiff((256, 23), (257, 11), (256, 8), *GREY)
    assert by_pillow(data) == ("TIFF", 23, 11)
    assert (facts(data).width, facts(data).height) == (23, 11)


def test_a_second_width_tag_in_a_tiff_cannot_hide_a_bomb() -> None:
    with pytest.raises((ImageTooLarge, UndecodableImage)):
        facts(tiff((256, 1_000_000), (257, 1_000_000), (256, 8), (257, 8), *GREY))


@pytest.mark.parametrize("kind", ["png-RGB", "jpeg-RGB", "gif-P", "webp-lossy", "webp-alpha", "bmp-RGB", "tiff-RGB"])
def test_declared_sizes_at_their_limits_are_too_large_or_no_image(kind: str) -> None:
    """The width in the header is replaced by the largest number that fits there."""
    data, width = KINDS[kind], facts(KINDS[kind]).width
    places = 0
    for at in range(min(len(data), 400)):
        for form in ("<H", ">H", "<I", ">I"):
            size = struct.calcsize(form)
            number = data[at : at + size]
            if number not in (struct.pack(form, width), struct.pack(form, width - 1)):
                continue
            changed = with_png_checksums(data[:at] + b"\xff" * size + data[at + size :])
            try:
                found = facts(changed)
            except REFUSALS:
                places += 1
                continue
            assert by_pillow(changed) in (None, (found.format, found.width, found.height))
            places += 1
    assert places
