"""Zips: read as `zipfile` reads them; false headers are refused on checking, damaged data fails single items.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import io
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.batches.archives.items import Item
from tests.support.archives import (
    ATTRIBUTES,
    CRC,
    END,
    END64,
    FLAGS,
    LOCAL,
    METHOD,
    OFFSET,
    PACKED,
    RECORD,
    SIZE,
    a_zip,
    opened,
    patched,
    read,
    refused,
    too_large,
)

NOISE = random.Random(1).randbytes(5000)
PAIR = a_zip([("1.png", b"first " * 50), ("2.png", b"second " * 50)])
STORED = a_zip([("1.png", b"first " * 50), ("2.png", b"second " * 50)], zipfile.ZIP_STORED)
BEYOND = 0xFFFF_FFFF


@settings(derandomize=True, max_examples=60)
@given(
    entries=st.lists(
        st.tuples(st.text("abcß/.", min_size=1, max_size=9).map("x{}y.png".format), st.binary(max_size=3000)),
        max_size=6,
    ),
    compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=st.binary(max_size=60),
)
def test_a_zip_is_read_as_zipfile_reads_it(entries: list[tuple[str, bytes]], compression: int, comment: bytes) -> None:
    data = a_zip(entries, compression, comment)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        expected = [(info.filename, archive.read(info)) for info in archive.infolist()]
    assert [(item.name, item.data) for item in read(data)] == expected


def test_a_zip_written_to_a_pipe_is_read() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", NOISE)  # its sizes follow its data
        archive.writestr("2.png", b"two")
    assert read(pipe.getvalue()) == [Item("1.png", NOISE), Item("2.png", b"two")]


def test_a_zip64_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = a_zip([("1.png", NOISE), ("2.png", b"two"), ("3.png", NOISE[:300])], zipfile.ZIP_STORED)
    assert END64 in data
    assert [item.data for item in read(data)] == [NOISE, b"two", NOISE[:300]]


def test_a_zip64_field_may_follow_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    data, other = a_zip([("1.png", NOISE)], zipfile.ZIP_STORED), b"\x99\x99\x05\0other"
    record = data.index(RECORD)
    start = data.index(struct.pack("<HH", 1, 16), record)
    longer = patched(data[:start] + other + data[start:], RECORD, 30, "<H", data[record + 30] + len(other))
    length = data.index(END64) - record + len(other)
    assert read(patched(longer, END64, 40, "<Q", length)) == [Item("1.png", NOISE)]


def test_names_are_utf8_with_or_without_the_flag_or_else_cp437() -> None:
    data = a_zip([("kase/1.png", b"x")])
    assert read(data.replace(b"kase", "kä".encode() + b"e"))[0].name == "käe/1.png"
    assert read(data.replace(b"kase", b"k\x84se"))[0].name == "käse/1.png"


def test_entries_may_be_listed_in_another_order_than_stored() -> None:
    start, end = PAIR.index(RECORD), PAIR.index(END)
    second = PAIR.index(RECORD, start + 1)
    swapped = PAIR[:start] + PAIR[second:end] + PAIR[start:second] + PAIR[end:]
    assert [item.name for item in read(swapped)] == ["2.png", "1.png"]


def test_a_directory_of_many_windows_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.batches.archives.zip_directory._WINDOW", 200_000)
    names = [f"{'folder/' * 30}{number}.png" for number in range(5000)]
    found = read(a_zip(((name, name[-9:].encode()) for name in names), zipfile.ZIP_STORED))
    assert [(item.name, item.data) for item in found] == [(name, name[-9:].encode()) for name in names]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_entries() -> None:
    archive = opened(a_zip((f"{number}.png", b"x") for number in range(20_000)))
    tracemalloc.start()
    try:
        for _ in archive.check():
            pass
        assert sum(1 for _ in archive.items()) == 20_000
        # zipfile.ZipFile would take 11 MB.
        assert tracemalloc.get_traced_memory()[1] < 4_500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [PAIR, STORED], ids=["deflated", "stored"])
def test_damaged_data_is_a_failed_item_and_the_rest_is_read(data: bytes) -> None:
    at = data.index(b"1.png") + 10
    first, second = read(data[:at] + b"\x07" + data[at + 1 :])
    assert (first.name, first.data) == ("1.png", b"")
    assert first.problem.startswith("it is damaged in the archive: ")
    assert second == Item("2.png", b"second " * 50)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (SIZE, 299, "it is longer than it claims"),
        (SIZE, 301, "it ends early"),
        (PACKED, 9, "it ends early"),
        (CRC, 7, "its checksum does not match"),
    ],
)
def test_an_entry_whose_header_contradicts_its_data_is_damaged(field: int, value: int, words: str) -> None:
    first, second = read(patched(PAIR, RECORD, field, "<L", value))
    assert first == Item("1.png", b"", f"it is damaged in the archive: {words}")
    assert second.data


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = a_zip([("1.png", bytes(3_000_000))])
    damaged = bytearray(data)
    damaged[40] ^= 0xFF  # unpacking it would fail
    error = too_large(bytes(damaged), max_unpacked_bytes=2_999_999)
    assert (error.size, error.unit) == (3_000_000, "unpacked bytes")
    assert "times" in refused(bytes(damaged), ratio_from_bytes=1_000_000).reason


def test_no_more_is_unpacked_than_the_declared_size() -> None:
    data = patched(a_zip([("1.png", bytes(30_000_000))]), RECORD, SIZE, "<L", 20_000)
    tracemalloc.start()
    try:
        assert read(data, most=20_000)[0].problem.endswith("it is longer than it claims")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_overlapping_entries_are_refused() -> None:
    # The first entry's data goes on to where the second's ends, and takes its header for its own.
    start, end = PAIR.index(b"1.png") + 5, PAIR.index(RECORD)
    assert "overlap" in refused(patched(PAIR, RECORD, PACKED, "<L", end - start)).reason


def test_two_entries_on_the_same_data_are_refused() -> None:
    twice = a_zip([("1.png", NOISE), ("1.png", NOISE)])
    assert len(read(twice)) == 2
    assert "overlap" in refused(patched(twice, RECORD, OFFSET, "<L", 0, nth=1)).reason


@pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
def test_an_encrypted_entry_is_refused(bit: int) -> None:
    error = refused(patched(PAIR, RECORD, FLAGS, "<H", bit, nth=1))
    assert error.entry == "2.png"
    assert "encrypted" in error.reason


@pytest.mark.parametrize(("method", "name"), [(12, "bzip2"), (14, "lzma"), (9, "deflate64"), (77, "method 77")])
def test_an_unsupported_compression_is_named(method: int, name: str) -> None:
    error = refused(patched(PAIR, RECORD, METHOD, "<H", method))
    assert error.entry == "1.png"
    assert name in error.reason


@pytest.mark.parametrize(
    ("kind", "words"),
    [(stat.S_IFCHR, "a device"), (stat.S_IFBLK, "a device"), (stat.S_IFIFO, "a pipe")],
)
def test_an_entry_that_is_no_file_is_refused(kind: int, words: str) -> None:
    error = refused(patched(PAIR, RECORD, ATTRIBUTES, "<L", (kind | 0o644) << 16, nth=1))
    assert (error.reason, error.entry) == (f"an entry is {words}", "2.png")
    assert len(read(patched(PAIR, RECORD, ATTRIBUTES, "<L", (stat.S_IFREG | 0o644) << 16))) == 2


def test_a_link_is_skipped() -> None:
    archive = opened(patched(PAIR, RECORD, ATTRIBUTES, "<L", (stat.S_IFLNK | 0o777) << 16, nth=1))
    for _ in archive.check():
        pass
    assert (archive.skipped.count, archive.skipped.names) == (1, ["2.png"])
    assert [item.name for item in archive.items()] == ["1.png"]


@pytest.mark.parametrize("attributes", [0x10, (stat.S_IFDIR | 0o755) << 16, (stat.S_IFDIR | 0o755) << 16 | 0x10])
def test_a_folder_is_known_by_its_attributes_too(attributes: int) -> None:
    assert [
        item.name
        for item in read(patched(a_zip([("cats", b""), ("cats/1.png", b"x")]), RECORD, ATTRIBUTES, "<L", attributes))
    ] == ["cats/1.png"]
    assert len(read(patched(PAIR, RECORD, ATTRIBUTES, "<L", attributes))) == 2, "what has content is a file"


def with_extra(name: bytes, *fields: tuple[int, bytes]) -> bytes:
    """Return a zip of one image under a name in an old encoding, with extra fields in its directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("x" * len(name))
        info.extra = b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in fields)
        archive.writestr(info, b"one")
    return buffer.getvalue().replace(b"x" * len(name), name)


def unicode_path(raw: bytes, name: bytes, version: int = 1) -> tuple[int, bytes]:
    return 0x7075, struct.pack("<BL", version, zlib.crc32(raw)) + name


OLD = "日本.png".encode("cp932")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ([unicode_path(OLD, "日本.png".encode())], "日本.png"),
        ([(0x5455, b"\1abcd"), unicode_path(OLD, "日本.png".encode())], "日本.png"),
        ([unicode_path(b"another", "日本.png".encode())], None),
        ([unicode_path(OLD, "日本.png".encode(), version=2)], None),
        ([unicode_path(OLD, b"\xff.png")], None),
        ([unicode_path(OLD, b"")], None),
        ([(0x7075, b"\1")], None),
        ([(0x5455, b"")] * 65 + [unicode_path(OLD, b"late.png")], None),
    ],
)
def test_a_unicode_path_is_used_if_its_checksum_matches_the_name(
    fields: list[tuple[int, bytes]], name: str | None
) -> None:
    assert [item.name for item in read(with_extra(OLD, *fields))] == [name or OLD.decode("cp437")]


@pytest.mark.parametrize("path", [b"../x.png", b"/etc/x.png", b"a/../../x.png"])
def test_a_unicode_path_outside_the_folder_is_refused(path: bytes) -> None:
    refused(with_extra(OLD, unicode_path(OLD, path)))


@pytest.mark.parametrize(
    ("structure", "at", "value", "words"),
    [
        (LOCAL, 2, 0, "not as the directory has it"),
        (LOCAL, 30, 0, "not as the directory has it"),
        (LOCAL, 8, 0, "not as the directory has it"),
        (LOCAL, 28, 9999, "runs into the directory"),
        (RECORD, OFFSET, 1, "not as the directory has it"),
        (RECORD, OFFSET, 60_000, "behind the archive's end"),
        (RECORD, PACKED, 60_000, "runs into the directory"),
        (RECORD, 0, 0, "record of the zip's directory is broken"),
        (RECORD, 28, 9999, "record of the zip's directory is broken"),
        (END, 4, 1, "several parts"),
        (END, 10, 1, "claims 1 entries and has 2"),
        (END, 12, 1, "not where it says"),
        (END, 16, 1, "not where it says"),
    ],
)
def test_headers_that_contradict_are_refused(structure: bytes, at: int, value: int, words: str) -> None:
    # Of the second entry: the first's local header is how a zip begins.
    nth = 0 if structure == END else 1
    assert words in refused(patched(PAIR, structure, at, "<H", value, nth=nth)).reason


def test_sizes_that_contradict_are_refused() -> None:
    assert "contradict" in refused(patched(STORED, RECORD, SIZE, "<L", 299)).reason
    noise = a_zip([("1.png", random.Random(2).randbytes(300_000))])
    assert "contradict" in refused(patched(noise, RECORD, SIZE, "<L", 1)).reason


def test_sizes_too_large_for_their_field_must_be_in_the_zip64_field() -> None:
    assert "zip64" in refused(patched(PAIR, RECORD, SIZE, "<L", BEYOND)).reason


def test_a_directory_that_claims_millions_of_entries_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = patched(a_zip([("1.png", b"x"), ("2.png", b"x")]), END64, 32, "<Q", 10_000_000)
    unreadable = patched(data, RECORD, 0, "<L", 0)
    error = too_large(unreadable)
    assert (error.size, error.unit) == (10_000_000, "entries")


def test_a_directory_that_claims_gigabytes_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = a_zip([("1.png", b"x"), ("2.png", b"x")])
    assert "not where it says" in refused(patched(data, END64, 40, "<Q", 1 << 40)).reason
    assert "not where it says" in refused(patched(data, END64, 48, "<Q", (1 << 64) - 1)).reason
    assert "zip64" in refused(patched(data, END64, 0, "<L", 0)).reason


def test_two_zips_in_one_file_are_refused() -> None:
    assert "two in one" in refused(PAIR + PAIR).reason


def test_bytes_after_the_end_are_tolerated() -> None:
    assert len(read(PAIR + b"\0" * 100)) == 2
