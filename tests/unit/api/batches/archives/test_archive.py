"""For every kind of archive: the images are read, and none of a bad archive.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import bz2
import gzip
import lzma
import threading
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.batches.archives.items import Item
from shared.domain.errors import ArchiveRefused, UploadTooLarge
from tests.fuzz.seeds import PNG
from tests.support.archives import (
    KINDS,
    a_tar,
    a_zip,
    an_archive,
    opened,
    read,
    refused,
    too_large,
)

PICTURES = [("cats/1.png", b"\x89PNG one"), ("2.jpg", b"\xff\xd8 two"), ("cats/3", b"GIF89a three" * 90)]
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_images_come_in_order_with_their_paths(kind: str) -> None:
    assert read(an_archive(kind, PICTURES)) == [Item(name, data) for name, data in PICTURES]


@every_kind
def test_clutter_is_counted_and_folders_are_nothing(kind: str) -> None:
    archive = opened(
        an_archive(
            kind,
            [("cats/", b""), (".DS_Store", b"x"), ("cats/._1.png", b"x"), ("cats/1.png", b"one"), ("Thumbs.db", b"")],
        )
    )
    for _ in archive.check():
        pass
    assert (archive.skipped.count, archive.skipped.names) == (3, [".DS_Store", "cats/._1.png", "Thumbs.db"])
    assert [item.name for item in archive.items()] == ["cats/1.png"]


@every_kind
def test_an_archive_of_nothing_has_no_items(kind: str) -> None:
    assert read(an_archive(kind, [])) == []


@every_kind
def test_the_same_name_twice_is_two_images(kind: str) -> None:
    assert [item.data for item in read(an_archive(kind, [("1.png", b"first"), ("1.png", b"second")]))] == [
        b"first",
        b"second",
    ]


@every_kind
@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("./1.png", "1.png"),
        (".//./1.png", "1.png"),
        ("cats\\1.png", "cats/1.png"),
        ("käse/ß.png", "käse/ß.png"),
        ("tab\there.png", "tabhere.png"),
        ("...png", "...png"),
        ("a..b/1.png", "a..b/1.png"),
        ("c:1.png", "c:1.png"),
        (f"{'long/' * 300}1.png", f"{'long/' * 300}1.png"[-1024:]),
    ],
)
def test_an_items_name_is_its_normalised_path(kind: str, given: str, path: str) -> None:
    assert [item.name for item in read(an_archive(kind, [(given, b"x")]))] == [path]


@every_kind
def test_an_image_over_the_limit_is_named_but_not_read(kind: str) -> None:
    found = read(an_archive(kind, [("big.png", bytes(12_345)), ("small.png", b"x")]), most=10_000)
    assert found == [
        Item("big.png", b"", problem="12,345 bytes are over the limit of 10,000"),
        Item("small.png", b"x"),
    ]


@every_kind
@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "\\\\server\\1.png", "C:\\1.png", "c:/1.png"),
        *("../1.png", "a/../../1.png", "a\\..\\1.png", "a/..", "./../1.png", "../.DS_Store"),
    ],
)
def test_a_path_out_of_the_folder_is_refused(kind: str, name: str) -> None:
    assert refused(an_archive(kind, [("1.png", b"x"), (name, b"")])).entry == name


@every_kind
def test_a_name_of_nothing_readable_is_refused(kind: str) -> None:
    assert "no name" in refused(an_archive(kind, [("\x01\x02", b"x")])).reason


@every_kind
@pytest.mark.parametrize("ending", ["zip", "TAR", "tgz", "tar.gz", "bz2", "xz", "zst", "7z", "Rar", "jar"])
def test_an_archive_in_an_archive_is_refused_by_its_name(kind: str, ending: str) -> None:
    assert refused(an_archive(kind, [(f"more.{ending}", b"whatever")])).entry == f"more.{ending}"


@every_kind
@pytest.mark.parametrize(
    "inner",
    [
        *(
            a_zip([("1.png", b"x")]),
            a_zip([]),
            a_tar([("1.png", b"x")]),
            gzip.compress(b"x", mtime=0),
            bz2.compress(b"x"),
        ),
        *(bz2.compress(b""), lzma.compress(b"x"), b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01\0", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_an_archive_in_an_archive_is_refused_by_its_first_bytes(kind: str, inner: bytes) -> None:
    assert refused(an_archive(kind, [("1.png", b"x"), ("data.bin", inner)])).entry == "data.bin"
    assert read(an_archive(kind, [("1.png", inner)])), "named as an image, it is the image reader's to refuse"


@every_kind
def test_a_file_that_is_neither_image_nor_archive_is_an_item(kind: str) -> None:
    found = read(
        an_archive(kind, [("photo", b"\xff no image"), ("empty", b""), ("a.raw", b"\0\1"), ("b.png", b"text")])
    )
    assert [item.name for item in found] == ["photo", "empty", "a.raw", "b.png"]


@every_kind
@pytest.mark.parametrize("content", [b"a,b\r\n1,2\r\n", b"", b"PK is not enough", b"BZh9 no", "Größe".encode()])
@pytest.mark.parametrize(
    "name", ["README.txt", "a/labels.csv", "labels.JSON", "data.xml", "README", "a/LICENSE", "classes.names", "x.html"]
)
def test_documents_and_tables_beside_images_are_skipped(kind: str, name: str, content: bytes) -> None:
    archive = opened(an_archive(kind, [("1.png", b"x"), (name, content), ("a/2.png", b"y")]))
    for _ in archive.check():
        pass
    assert (archive.skipped.count, archive.skipped.names) == (1, [name])
    assert [item.name for item in archive.items()] == ["1.png", "a/2.png"]


@every_kind
@pytest.mark.parametrize(
    ("name", "content"), [("boxes.lbl", b"0 0.5 0.5 1 1\n"), ("labels.xlsx", a_zip([("x", b"x")]))]
)
def test_a_text_of_any_suffix_and_an_office_document_are_skipped(kind: str, name: str, content: bytes) -> None:
    assert [item.name for item in read(an_archive(kind, [("1.png", b"x"), (name, content)]))] == ["1.png"]


@every_kind
@pytest.mark.parametrize("name", ["a.txt", "README", "a.xlsx", "photo.dat", "photo"])
def test_an_image_is_recognised_under_any_name(kind: str, name: str) -> None:
    assert [item.name for item in read(an_archive(kind, [(name, PNG)]))] == [name]


@every_kind
def test_an_archive_named_like_a_document_is_refused(kind: str) -> None:
    assert refused(an_archive(kind, [("a.txt", gzip.compress(b"x", mtime=0))])).entry == "a.txt"


@every_kind
def test_entries_are_counted_with_clutter_and_folders(kind: str) -> None:
    data = an_archive(kind, [("a/", b""), (".DS_Store", b"x"), ("a/1.png", b"x")])
    assert len(read(data, max_entries=3)) == 1
    error = too_large(data, max_entries=2)
    assert (error.size, error.limit, error.unit) == (3, 2, "entries")


@every_kind
def test_unpacked_bytes_are_limited(kind: str) -> None:
    data = an_archive(kind, [("1.png", bytes(60_000)), ("2.png", bytes(60_000))])
    error = too_large(data, max_unpacked_bytes=100_000)
    assert (error.limit, error.unit) == (100_000, "unpacked bytes")
    assert len(read(data, max_unpacked_bytes=200_000)) == 2


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_with_too_high_a_compression_ratio_is_refused(kind: str) -> None:
    data = an_archive(kind, [("1.png", bytes(500_000)), ("2.png", bytes(500_000))])
    assert "times" in refused(data, ratio_from_bytes=400_000).reason
    assert len(read(data, ratio_from_bytes=2_000_000)) == 2
    assert len(read(data, ratio_from_bytes=1, max_ratio=2000)) == 2


@every_kind
def test_an_archive_cut_short_anywhere_is_refused(kind: str) -> None:
    data = an_archive(kind, PICTURES)
    if kind == "tar":
        data = data.rstrip(b"\0") + bytes(512)  # what follows the end mark may be missing
    for keep in {*range(0, len(data), 61), len(data) - 1} - {0}:
        refused(data[:keep])


@every_kind
def test_each_step_may_run_in_another_thread(kind: str) -> None:
    archive = opened(an_archive(kind, PICTURES))
    check, items = archive.check(), archive.items()
    found: list[Item] = []

    def step() -> None:
        for _ in check:
            return
        found.extend(islice(items, 1))

    for _ in range(200):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert [(item.name, item.data) for item in found] == PICTURES


@every_kind
def test_the_check_can_be_stopped_after_each_entry(kind: str) -> None:
    assert sum(1 for _ in opened(an_archive(kind, [(f"{n}.png", b"x") for n in range(50)])).check()) >= 50


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello" * 200, "no archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "no archive"),
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(9), "7z"),
        (b"Rar!\x1a\x07\0", "rar"),
    ],
)
def test_a_body_that_is_no_archive_is_refused_with_what_to_send(data: bytes, words: str) -> None:
    reason = refused(data).reason
    assert words in reason
    assert "send zip, tar or tar.gz" in reason


def survives(data: bytes) -> None:
    """Fail on any error but a refusal, and on an item that is too large."""
    try:
        found = read(data, max_unpacked_bytes=300_000)
    except (ArchiveRefused, UploadTooLarge):
        return
    assert all(len(item.data) <= 10_000 for item in found)


STARTS = [b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", a_tar(PICTURES)[:512], an_archive("tar.gz", PICTURES)[:60]]


@settings(derandomize=True, max_examples=200)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=1500))
def test_no_bytes_raise_anything_else(start: bytes, rest: bytes) -> None:
    survives(start + rest)


PROPER = [
    *(an_archive("zip", PICTURES), a_zip(PICTURES, 0, b"comment"), a_tar(PICTURES)),
    *(a_tar([("n" * 300, b"x" * 700), *PICTURES], format=format) for format in (1, 2)),
]


@pytest.mark.slow
@settings(derandomize=True, max_examples=700)
@given(data=st.sampled_from(PROPER), zipped=st.booleans(), edits=st.data())
def test_no_mutation_raises_anything_else(data: bytes, *, zipped: bool, edits: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(edits.draw(st.integers(1, 4))):
        # Zeros fill most of a tar: half of the edits go to what is not zero.
        places = [n for n, byte in enumerate(changed) if byte] or [0]
        at = edits.draw(st.sampled_from(places) | st.integers(0, len(changed)))
        until = at + edits.draw(st.sampled_from([0, 1, 1, 1, 2, 4, 40]))
        changed[at:until] = edits.draw(st.binary(max_size=1) | st.binary(max_size=8) | st.just(b"\xff" * 4))
    mutated = bytes(changed)
    if edits.draw(st.booleans()):
        mutated = with_checksums(mutated)
    survives(gzip.compress(mutated, 1) if zipped else mutated)


def with_checksums(data: bytes) -> bytes:
    """Correct the checksums of blocks that could be tar headers, so that mutations pass the first check."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            found[at + 148 : at + 156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\0 " % sum(found[at : at + 512])
    return bytes(found)


@settings(derandomize=True, max_examples=200)
@given(at=st.integers(0), edit=st.binary(min_size=1, max_size=3))
def test_a_changed_gzip_stream_is_refused_or_the_same(at: int, edit: bytes) -> None:
    data = an_archive("tar.gz", PICTURES)
    at %= len(data)
    try:
        found = read(data[:at] + edit + data[at + len(edit) :])
    except ArchiveRefused:
        return
    assert [(item.name, item.data) for item in found] == PICTURES
