"""Tars, plain and in gzip: read as `tarfile` reads them, in steps, and in little memory whatever a header claims."""

import gzip
import io
import random
import tarfile
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.batches.archives.items import Item
from tests.support.archives import a_member, a_tar, blocks, opened, read, refused, too_large

END = bytes(1024)
ONE = blocks(a_member("1.png", size=3), b"one")
NOISE = random.Random(1).randbytes(5000)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def pax(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return a pax header of ready records."""
    body = b"".join(records)
    return blocks(a_member("header", kind=kind, size=len(body)), body)


def record(keyword: bytes, value: bytes) -> bytes:
    length = len(keyword) + len(value) + 3
    while length != len(keyword) + len(value) + 3 + len(str(length)):
        length = len(keyword) + len(value) + 3 + len(str(length))
    return b"%d %s=%s\n" % (length, keyword, value)


@settings(derandomize=True, max_examples=80)
@given(
    entries=st.lists(
        st.tuples(
            st.text("abcß/.", min_size=1, max_size=70).map("x{}y.png".format) | st.just("long/" * 60 + "y.png"),
            st.binary(max_size=3000),
        ),
        max_size=6,
    ),
    format=st.sampled_from(FORMATS[1:]),
    zipped=st.booleans(),
)
def test_a_tar_is_read_as_tarfile_reads_it(entries: list[tuple[str, bytes]], format: int, *, zipped: bool) -> None:
    data = a_tar(entries, format=format)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    assert [(item.name, item.data) for item in read(gzip.compress(data) if zipped else data)] == expected


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read(format: int) -> None:
    name = f"{'folder/' * 20}1.png"
    assert read(a_tar([("folder/", b""), (name, NOISE)], format=format)) == [Item(name, NOISE)]


def test_a_tar_from_before_the_posix_standard_is_read() -> None:
    header = bytearray(ONE[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert read(bytes(header) + ONE[512:] + END) == [Item("1.png", b"one")]


def test_a_pax_header_applies_to_the_next_entry_only() -> None:
    header = pax(record(b"path", "ä.png".encode()), record(b"size", b"600"), record(b"mtime", b"1.5"))
    found = read(header + blocks(a_member("short"), NOISE[:600]) + ONE + END)
    assert found == [Item("ä.png", NOISE[:600]), Item("1.png", b"one")]


def test_global_pax_headers_are_ignored() -> None:
    assert read(pax(record(b"comment", b"a commit"), kind=tarfile.XGLTYPE) + ONE + END) == [Item("1.png", b"one")]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"M", "of a kind (b'M') that is not unpacked"),
    ],
)
def test_an_entry_that_is_no_file_is_refused(kind: bytes, words: str) -> None:
    error = refused(ONE + blocks(a_member("2.png", kind=kind, linkname="1.png")) + END)
    assert (error.reason, error.entry) == (f"an entry is {words}", "2.png")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_is_skipped(kind: bytes, format: int) -> None:
    link = blocks(a_member("2.png", kind=kind, linkname="n" * 150), format=format) if format else b""
    archive = opened(ONE + (link or blocks(a_member("2.png", kind=kind, linkname="1.png"), format=format)) + ONE + END)
    for _ in archive.check():
        pass
    assert (archive.skipped.count, archive.skipped.names) == (1, ["2.png"])
    assert [item.name for item in archive.items()] == ["1.png", "1.png"]


@pytest.mark.parametrize("name", ["../2.png", "/2.png", "a/../../2.png"])
def test_a_link_with_a_path_outside_the_folder_is_refused(name: str) -> None:
    refused(ONE + blocks(a_member(name, kind=tarfile.SYMTYPE, linkname="1.png")) + END)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_with_data_is_refused(kind: bytes) -> None:
    error = refused(ONE + blocks(a_member("2.png", kind=kind, size=3, linkname="1.png"), b"two") + END)
    assert (error.reason, error.entry) == ("an entry is a link with data", "2.png")


@pytest.mark.parametrize("keyword", [b"GNU.sparse.major", b"GNU.sparse.map", b"GNU.sparse.size"])
def test_a_sparse_file_is_refused_whatever_the_kind(keyword: bytes) -> None:
    assert "sparse" in refused(pax(record(keyword, b"1")) + ONE + END).reason


@pytest.mark.parametrize(
    "body",
    [
        b"9999 path=x\n",
        b"11 path=xxxx",
        b"7 path=x\n",
        b"no number",
        b"4 x\n",
        b"0 path=x\n",
        record(b"comment", b"") * 65,
        record(b"size", b"-1"),
        record(b"size", b"1e9"),
        record(b"size", b"9" * 5000),
    ],
)
def test_an_invalid_pax_header_is_refused(body: bytes) -> None:
    assert "pax header" in refused(pax(body) + ONE + END).reason


@pytest.mark.timeout(5)
@pytest.mark.parametrize("body", [b"2 " * 125_000 + b"=", b"1" * 250_000, b"5 a=\n" * 50_000])
def test_a_pax_header_that_is_slow_to_parse_is_refused_soon(body: bytes) -> None:
    # tarfile takes gigabytes and minutes for each.
    tracemalloc.start()
    try:
        refused(pax(body) + ONE + END)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_gigabytes_is_refused_before_it_is_read(kind: bytes) -> None:
    header = a_member("header", kind=kind, size=4 << 30).tobuf(tarfile.GNU_FORMAT)
    archive = gzip.compress(header + bytes(50_000_000), 1)
    tracemalloc.start()
    try:
        assert "262,144 bytes" in refused(archive).reason
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_headers_without_end_are_refused() -> None:
    headers = pax(record(b"path", b"1.png"))
    assert read(headers * 8 + ONE + END) == [Item("1.png", b"one")]
    assert "over 8 headers" in refused(headers * 9 + ONE + END).reason


def test_a_size_below_zero_is_refused() -> None:
    assert "below zero" in refused(a_member("1.png", size=-512).tobuf(tarfile.GNU_FORMAT) + END).reason


def test_an_invalid_header_does_not_count_as_the_end() -> None:
    header = bytearray(ONE)
    header[0] ^= 1
    with tarfile.open(fileobj=io.BytesIO(ONE + header + ONE + END)) as archive:
        assert len(archive.getmembers()) == 1, "tarfile says nothing"
    assert "bad checksum" in refused(ONE + header + ONE + END).reason


@pytest.mark.parametrize("rest", [b"", END[:511], ONE[:512], ONE[:600]])
def test_a_tar_without_an_end_mark_is_refused(rest: bytes) -> None:
    assert "cut short" in refused(ONE + rest).reason


def test_an_end_mark_after_half_a_header_does_not_count() -> None:
    assert "cut short" in refused(ONE + pax(record(b"path", b"2.png")) + END).reason


@pytest.mark.parametrize("zipped", [False, True])
def test_two_tars_in_one_file_are_refused(*, zipped: bool) -> None:
    twice = (ONE + END) * 2
    assert "two archives" in refused(gzip.compress(twice) if zipped else twice).reason


def test_a_gzip_file_of_something_else_is_refused() -> None:
    assert "no tar" in refused(gzip.compress(b"\x89PNG" + NOISE)).reason


def test_a_gzip_file_may_have_several_members_padded_with_zeros() -> None:
    data = ONE + END
    parts = [gzip.compress(data[:700]), gzip.compress(b""), bytes(100_000), gzip.compress(data[700:]), bytes(9)]
    assert read(b"".join(parts)) == [Item("1.png", b"one")]


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(ONE + END)[:-8] + bytes(8),
        gzip.compress(ONE + END) + b"what is this",
        gzip.compress(ONE + END) + gzip.compress(b"")[:-1],
        gzip.compress(ONE + END)[:30] + b"\xff\xff" + gzip.compress(ONE + END)[32:],
    ],
    ids=["checksum", "more", "half a member", "broken"],
)
def test_a_damaged_gzip_stream_is_refused(data: bytes) -> None:
    assert "gzip stream" in refused(data).reason


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"") * 1200, "over 1,000 members"),
        (b"\x1f\x8b\x08\x10" + bytes(6) + b"a" * 5_000_000, "unpack to nothing"),
        (b"\x1f\x8b\x08\0" + bytes(6) + b"\0\0\0\xff\xff" * 1_000_000, "unpack to nothing"),
    ],
    ids=["members", "comment", "blocks"],
)
def test_a_gzip_file_of_endless_empty_members_is_refused_soon(data: bytes, words: str) -> None:
    assert words in refused(data, max_entries=1000).reason


@pytest.mark.parametrize("after_the_end", [False, True])
def test_a_bomb_is_refused_while_it_is_unpacked(*, after_the_end: bool) -> None:
    bomb = ONE + END if after_the_end else a_member("1.png", size=1 << 40).tobuf(tarfile.GNU_FORMAT)
    squeezed = gzip.compress(bomb + bytes(30_000_000))
    error = too_large(squeezed, max_unpacked_bytes=1_000_000)
    assert error.size <= 1_000_000 + 64 * 1024
    assert "times" in refused(squeezed, ratio_from_bytes=1_000_000).reason


@pytest.mark.parametrize("zipped", [False, True])
def test_the_check_can_be_stopped_inside_a_large_entry(*, zipped: bool) -> None:
    data = a_tar([("big.png", NOISE * 400)])
    assert sum(1 for _ in opened(gzip.compress(data, 1) if zipped else data).check()) > 20


@pytest.mark.slow
def test_memory_does_not_grow_with_the_entries_or_their_size() -> None:
    entries = [(f"{number}.png", b"x") for number in range(5000)] + [("big.png", NOISE * 1000)]
    archive = opened(gzip.compress(a_tar(entries, format=tarfile.USTAR_FORMAT), 1))
    tracemalloc.start()
    try:
        for _ in archive.check():
            pass
        assert sum(1 for _ in archive.items()) == 5001
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_only_one_copy_of_an_image_is_in_memory() -> None:
    archive = opened(gzip.compress(a_tar([("1.png", NOISE * 1000)]), 1), most=10_000_000)
    tracemalloc.start()
    try:
        assert [len(item.data) for item in archive.items()] == [5_000_000]
        assert tracemalloc.get_traced_memory()[1] < 7_000_000
    finally:
        tracemalloc.stop()


def test_a_gzip_stream_without_its_checksum_is_refused() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = deflater.compress(ONE + END) + deflater.flush()
    assert "no archive" in refused(raw).reason
