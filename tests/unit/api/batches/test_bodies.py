"""The three bulk bodies: fields, then items; what can't be used is an item with a problem, or refuses the upload.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import asyncio
import contextlib
import io
import itertools
import resource
import tracemalloc
import zipfile
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi import Request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from api.batches.archives.items import LONGEST_NAME, Item, Skipped
from api.batches.bodies import BODIES, read_batch_body
from api.batches.form_body import SPOOL_AT_ONCE
from api.http import problem_table
from api.state.body_memory import BodyMemory, MemoryHold
from api.state.threads import Threads
from api.uploads.bodies import BESIDE_THE_IMAGE
from shared.domain import errors
from shared.domain.identifiers import ANYONE
from shared.domain.webhooks import SENT_UNASKED, Event, Webhook
from shared.settings import Bulk, Gateway, Intake
from tests.support.damaged_files import damaged

FORM, LINES = "multipart/form-data; boundary=x-x", "application/x-ndjson"
IMAGE, MOST = b"\x89PNG\r\n\x1a\n and then some\r\n--x", 1000
INTAKE = Intake(max_image_bytes=MOST, max_metadata_bytes=100)
# Made once for all examples: settings read the environment, a millisecond each.
DEFAULT_INTAKE, gateway_settings, bulk_settings = Intake(), cache(Gateway), cache(Bulk)
THREADS = Threads(asks=1)
LONGEST_LINE = MOST * 4 // 3 + BESIDE_THE_IMAGE


def a_hold() -> MemoryHold:
    return BodyMemory(DEFAULT_INTAKE).hold(ANYONE)


def a_request(
    pieces: Iterable[Any], kind: Any = FORM, *, query: str = "", declared: Any = None, spool: Any = None, **bulk: Any
) -> Request:
    """Make a request whose body arrives in pieces, each made when it is read; at None the client disconnects."""
    messages = ({"type": "http.request", "body": piece, "more_body": True} for piece in pieces)

    async def receive() -> dict[str, Any]:
        message = next(messages, {"type": "http.request", "body": b""})
        return {"type": "http.disconnect"} if message["body"] is None else message

    headers = {b"content-type": kind, b"content-length": declared}
    gate = SimpleNamespace(
        settings=gateway_settings(spool_dir=spool), intake=INTAKE, bulk=bulk_settings(**bulk), threads=THREADS
    )
    scope = {
        "type": "http",
        "query_string": query.encode(),
        "headers": [(name, str(value).encode("latin-1")) for name, value in headers.items() if value is not None],
        "app": SimpleNamespace(state=SimpleNamespace(gateway=gate)),
    }
    return Request(scope, receive)


def read(body: bytes | Iterable[Any], *given: Any, **rest: Any) -> tuple[Any, list[Item], Skipped]:
    """Return the fields, the items, and what was skipped."""
    request = a_request([body] if isinstance(body, bytes) else body, *given, **rest)

    async def take() -> tuple[Any, list[Item], Skipped]:
        found = read_batch_body(request, request.stream(), a_hold())
        return await found.fields(), [item async for item in found.items()], found.skipped

    return asyncio.run(take())


def refused(error: type[errors.DarkroomError], *given: Any, **rest: Any) -> Any:
    with pytest.raises(error) as raised:
        read(*given, **rest)
    return raised.value


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    of = "" if filename is None else f'; filename="{filename}"'
    return f'--x-x\r\nContent-Disposition: form-data; name="{name}"{of}\r\n\r\n'.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x-x--\r\n"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def line(image: object = b64encode(IMAGE).decode(), **members: Any) -> bytes:
    return orjson.dumps({"image": image, **members})


FILE, ZIP, MODEL = part("images", IMAGE, "7.png"), part("archive", zipped({}), "a.zip"), part("model", b"digits")
LONG_NAME = ("x" * 2000 + ".png", "x" * (LONGEST_NAME - 4) + ".png")
TWO_MODELS = form(MODEL, part("model", b"letters"), FILE)
OUT_OF_ORDER = [form(FILE, MODEL), form(FILE, ZIP), form(ZIP, FILE), form(ZIP, ZIP), form(ZIP, MODEL)]
UNUSABLE = [("webhook", "example.com"), ("priority", "urgent"), ("model", "m" * 256)]
NO_METADATA = [("metadata", text) for text in ("[]", "{", '{"a": NaN}', f'{{"a":"{"y" * 93}"}}')]
FILES = {"a/1.png": IMAGE, "__MACOSX/x": b"clutter", "2.png": b"2", "3.png": bytes(3_000_000), "notes.txt": b"hi"}
ARCHIVE = zipped(FILES)


@pytest.mark.parametrize("content_type", ["application/zip", "application/json", "image/png", "text/plain", None])
def test_other_bodies_are_unsupported(content_type: str | None) -> None:
    assert refused(errors.UnsupportedImage, IMAGE, content_type, declared=len(IMAGE)).supported == BODIES


@pytest.mark.parametrize("declared", [0, None])
@pytest.mark.parametrize("content_type", [FORM, "application/zip", None])
def test_an_empty_body_is_a_bad_request(content_type: str | None, declared: int | None) -> None:
    refused(errors.BadRequest, [], content_type, declared=declared)


def test_a_body_declaring_more_than_the_archive_limit_is_too_large() -> None:
    error = refused(errors.UploadTooLarge, [], "application/zip", declared=5001, max_archive_bytes=5000)
    assert (error.size, error.limit) == (5001, 5000)


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_a_form_has_fields_and_then_images_in_order(size: int) -> None:
    texts = MODEL + part("metadata", b'{"a": 1}') + part("x", b"ignored")
    fields, items, skipped = read(cut(form(texts, FILE, part("images", b"2", "b/2.png")), size), query="priority=bulk")
    assert (fields.model, fields.metadata, fields.priority) == ("digits", {"a": 1}, "bulk")
    assert (items, skipped.count) == ([Item("7.png", IMAGE), Item("b/2.png", b"2")], 0)


def test_an_oversized_image_is_one_bad_item_and_the_next_is_fine() -> None:
    body = form(*(part("images", bytes(size), f"{size}.png") for size in (MOST, MOST + 1, 1)))
    for size in (7, 10_000):
        _, items, _ = read(cut(body, size))
        over = Item("1001.png", b"", "1,001 bytes are over the limit of 1,000")
        assert items == [Item("1000.png", bytes(1000)), over, Item("1.png", b"\0")]


@pytest.mark.parametrize(("given", "name"), [("a\tb\x1b.png", "ab.png"), ("ü", "ü"), LONG_NAME])
def test_a_file_is_an_item_even_if_unnamed_or_empty(given: str, name: str) -> None:
    assert read(form(part("images", b"", given), FILE))[1] == [Item(name, b""), Item("7.png", IMAGE)]


@pytest.mark.parametrize("given", [None, ""])
def test_a_file_with_content_needs_no_name(given: str | None) -> None:
    assert read(form(part("images", IMAGE, given)))[1] == [Item("", IMAGE)]


@pytest.mark.parametrize("body", [*OUT_OF_ORDER, TWO_MODELS, form(FILE)[:-6], form(MODEL)[:-20], b"no form"])
def test_a_form_out_of_order_contradicting_or_cut_short_is_a_bad_request(body: bytes) -> None:
    refused(errors.BadRequest, body)


@pytest.mark.parametrize(("name", "value"), [*UNUSABLE, *NO_METADATA])
def test_an_invalid_field_is_refused_with_its_pointer(name: str, value: str) -> None:
    assert refused(errors.InvalidParameter, form(part(name, value.encode()), FILE)).pointer == f"/{name}"


def test_a_form_without_files_is_refused() -> None:
    assert refused(errors.InvalidParameter, form(MODEL, part("picture", IMAGE, "7.png"))).pointer == "/images"


def test_a_field_of_the_documented_maximum_length_is_accepted() -> None:
    metadata = part("metadata", b'{"a":"%s"}' % (b"y" * 92))
    assert len(read(form(metadata, part("x", bytes(BESIDE_THE_IMAGE)), FILE))[0].metadata["a"]) == 92
    assert "'xyz'" in refused(errors.BadRequest, form(part("xyz", bytes(BESIDE_THE_IMAGE + 1)), FILE)).detail


def test_a_field_after_the_files_is_named() -> None:
    assert "'model'" in refused(errors.BadRequest, form(FILE, MODEL)).detail


def test_the_total_size_of_fields_before_the_files_is_limited() -> None:
    refused(errors.BadRequest, itertools.chain(itertools.repeat(part("x", bytes(60_000)), 1000), [form(FILE)]))


@pytest.mark.parametrize(("start", "content_type"), [(MODEL, FORM), (FILE, FORM), (ZIP, FORM), (line(), LINES)])
def test_a_client_that_leaves_ends_the_reading(start: bytes, content_type: str) -> None:
    with pytest.raises(ClientDisconnect):
        read([start, None], content_type)


@pytest.mark.parametrize("size", [100, 7777, SPOOL_AT_ONCE, 10_000_000])
def test_an_archive_gives_its_files_and_counts_clutter(size: int) -> None:
    pieces = cut(form(MODEL, part("archive", ARCHIVE, "a.zip")), size)
    fields, (first, second, over), skipped = read(pieces, max_archive_bytes=len(ARCHIVE))
    assert [first, second] == [Item("a/1.png", IMAGE), Item("2.png", b"2")]
    assert (over.name, over.data, "limit" in over.problem) == ("3.png", b"", True)
    assert (fields.model, skipped.count) == ("digits", 2)
    assert skipped.names == ["notes.txt", "__MACOSX/x"]


def test_an_archive_over_the_limit_is_refused_while_it_is_received() -> None:
    pieces = itertools.chain([part("archive", b"", "a.zip")[:-2]], itertools.repeat(bytes(1000), 99))
    error = refused(errors.UploadTooLarge, pieces, max_archive_bytes=5500)
    assert (error.size, error.limit) == (6000, 5500)


def left_in(folder: Path) -> tuple[int, list[int]]:
    """Count a folder's files, and measure those of them, named or not, that this process has open."""
    opened = [file for file in Path("/proc/self/fd").iterdir() if file.resolve().is_relative_to(folder)]
    return len([*folder.iterdir()]), [file.stat().st_size for file in opened]


@pytest.mark.parametrize("end", ["2.png", "notes.txt", "none"])
def test_the_spooled_archive_has_no_name_and_is_deleted_afterwards(end: str, tmp_path: Path) -> None:
    async def claim() -> None:
        request = a_request([form(part("archive", ARCHIVE, "a.zip"))], spool=tmp_path)
        body = read_batch_body(request, request.stream(), a_hold())
        await body.fields()
        async with contextlib.aclosing(body.items()) as items:
            async for item in items:
                assert left_in(tmp_path) == (0, [len(ARCHIVE)])
                if item.name == end:
                    break

    asyncio.run(claim())
    assert left_in(tmp_path) == (0, [])


@pytest.mark.parametrize("archive", [b"", b"no archive", zipped({"../1.png": IMAGE})])
def test_a_bad_archive_is_refused_as_a_whole_and_leaves_nothing(archive: bytes, tmp_path: Path) -> None:
    refused(errors.ArchiveRefused, form(part("archive", archive, "a.zip")), spool=tmp_path)
    assert left_in(tmp_path) == (0, [])


def test_a_spool_folder_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    assert "spool" in refused(errors.StorageUnavailable, form(ZIP), spool=tmp_path / "none").store


@pytest.mark.parametrize("sizes", [[5_000_000], [SPOOL_AT_ONCE, 100], [SPOOL_AT_ONCE + 100, SPOOL_AT_ONCE]])
def test_a_spool_folder_that_is_full_is_unavailable(sizes: list[int], tmp_path: Path) -> None:
    pieces = [part("archive", b"", "a.zip")[:-2], *map(bytes, sizes), b"\r\n--x-x--"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SPOOL_AT_ONCE, hard))
    try:
        assert "full" in refused(errors.StorageUnavailable, pieces, spool=tmp_path).store
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Lines, and the item of each if it is one: its name, where {} is the line's number, and its problem's beginning.
BLANK, UNNAMED = (b"", b" \t", b"\r", b" " * LONGEST_LINE), (None, "", "\n\x7f", 1.5, [1], {})
NO_JSON, NO_OBJECT = (b"{", b"\xff", b'{"a": "\\ud800"}', b"[" * 3000), (b"[]", b'"x"', b"7", b"null")
NO_TEXT, NO_BASE64 = (None, 7, ["QUJD"], {}), ("****", "QUJDR", "QU=JD", "ü", "data:image/png;base64,*", "%zz")
AS_JSON_TAKES_IT = {
    "QUI": b"AB",
    "QU\r\nJD\n": b"ABC",
    "-_-_": b"\xfb\xff\xbf",
    "QUJ%44": b"ABC",
    "data:image/png;base64,QUJD": b"ABC",
    "DATA:,A%42": b"AB",
}
NAMES = {"a": "a", "b/ü.png": "b/ü.png", -7: "-7", 0: "0", 2**64 - 1: str(2**64 - 1), "ü\n\0\x1b7": "ü7"}
GIVEN: list[tuple[bytes, Item | None]] = [
    *((text, None) for text in BLANK),
    *((line(custom_id=given), Item(name, IMAGE)) for given, name in NAMES.items()),
    (line(custom_id="x" * 5000 + "end"), Item("x" * (LONGEST_NAME - 3) + "end", IMAGE)),
    *((line(custom_id=name), Item("line {}", IMAGE)) for name in UNNAMED),
    *((text, Item("line {}", IMAGE)) for text in (line(), b" " + line() + b"\t", line().ljust(LONGEST_LINE))),
    (line("", custom_id="c"), Item("c", b"")),
    *((text, Item("line {}", b"", "the line is no JSON:")) for text in NO_JSON),
    *((text, Item("line {}", b"", "the line is no JSON object")) for text in NO_OBJECT),
    *((line(image, custom_id=7), Item("7", b"", "the line has no member image")) for image in NO_TEXT),
    *((line(image), Item("line {}", b"", "the line's image ")) for image in NO_BASE64),
    *((line(image), Item("line {}", data)) for image, data in AS_JSON_TAKES_IT.items()),
    (b"\xef\xbb\xbf" + line(custom_id="with BOM"), Item("with BOM", IMAGE)),
    (b"{}", Item("line {}", b"", "the line has no member image")),
    (b"y" * (LONGEST_LINE + 1), Item("line {}", b"", f"the line has {LONGEST_LINE + 1:,} bytes, over the limit")),
]
NUMBERS, PLACES = st.integers(0, len(GIVEN) - 1), st.integers(0, 2000) | st.integers(0, 9 * LONGEST_LINE)


@given(st.lists(NUMBERS, max_size=8), st.sampled_from([b"", b"\n"]), st.lists(PLACES, max_size=12))
@example(list(range(len(GIVEN))), b"", [])
@example([len(GIVEN) - 1], b"", list(range(LONGEST_LINE)))
def test_lines_cut_anywhere_are_an_item_each(numbers: list[int], last: bytes, places: list[int]) -> None:
    body = b"\n".join(GIVEN[number][0] for number in numbers) + last
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    _, items, _ = read([body[start:end] for start, end in itertools.pairwise(cuts)], LINES)
    expected = [(at, item) for at, number in enumerate(numbers, 1) if (item := GIVEN[number][1])]
    assert [(item.name, item.data) for item in items] == [(item.name.format(at), item.data) for at, item in expected]
    found = [item.problem[: len(other.problem) or None] for item, (_, other) in zip(items, expected, strict=True)]
    assert found == [item.problem for _, item in expected]


UPLOADS = [
    (form(MODEL, part("metadata", b'{"a": 1}'), FILE, part("images", b"2" * 300, "2.png")), FORM),
    (form(MODEL, part("archive", ARCHIVE, "a.zip")), FORM),
    (b"\n".join(text for text, item in GIVEN if item and len(text) < 200), LINES),
]


def outcome(pieces: list[bytes], kind: str) -> Any:
    """Return what is read, or which of the contract's errors is raised; fails at any other."""
    try:
        return read(pieces, kind)
    except errors.DarkroomError as error:
        return type(error), problem_table.error_words(error)


@pytest.mark.slow
@settings(derandomize=True, max_examples=150)
@given(damaged([body for body, _ in UPLOADS]), st.sampled_from(UPLOADS), st.lists(st.integers(0, 1500), max_size=8))
def test_damage_raises_only_refusals_and_cuts_change_nothing(
    body: bytes, proper: tuple[bytes, str], places: list[int]
) -> None:
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(cuts)]
    assert outcome(pieces, proper[1]) == outcome([body], proper[1])


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_error_for_two_faults_does_not_depend_on_the_cuts(size: int) -> None:
    bad = b"--x-x\r\n\0: no header\r\n\r\n"
    body = form(part("metadata", b"[]"), FILE, bad)
    assert refused(errors.InvalidParameter, cut(body, size)).pointer == "/metadata"
    detail = refused(errors.BadRequest, cut(form(FILE, bad), size)).detail
    assert detail == "the body is no form: Found invalid character 0 in header"


@settings(derandomize=True, max_examples=150)
@given(st.binary(max_size=80), st.sampled_from([b"", b"multipart/form-data;", FORM.encode(), LINES.encode()]))
def test_no_content_type_raises_anything_else(rest: bytes, start: bytes) -> None:
    for body, _ in UPLOADS:
        outcome([body], (start + rest).decode("latin-1"))


def test_ndjson_takes_fields_from_the_query_and_allows_crlf() -> None:
    body = line(custom_id=1) + b"\r\n\r\n" + line() + b"\r\n"
    fields, items, skipped = read(body, LINES, query="model=digits&metadata=%7B%22a%22:1%7D")
    assert (fields.model, fields.metadata, skipped.count) == ("digits", {"a": 1}, 0)
    assert items == [Item("1", IMAGE), Item("line 3", IMAGE)]
    assert refused(errors.InvalidParameter, body, LINES, query="webhook=example.com").pointer == "/webhook"


def test_a_batch_may_have_a_webhook_in_its_form_or_query() -> None:
    hook, query = "https://example.com/hook", "webhook=https://example.com/hook&webhook_events_filter=completed"
    parts = (
        part("webhook", hook.encode()),
        *(part("webhook_events_filter", word) for word in (b"start", b"completed")),
    )
    assert read(form(*parts, FILE))[0].webhook == Webhook(hook, SENT_UNASKED)
    assert read(line(), LINES, query=query)[0].webhook == Webhook(hook, frozenset({Event.COMPLETED}))
    assert read(form(FILE))[0].webhook is None
    refused(errors.BadRequest, form(*parts, part("webhook", b"https://example.com/other"), FILE))


MANY = 4 * 1024
ONE_LINE, MANY_LINES = [*[bytes(1024)] * MANY, b"\n" + line()], [line("QUJD" * 250) + b"\n"] * MANY
ONE_FILE = [part("images", b"")[:-2], *[bytes(1024)] * MANY, b"\r\n--x-x--"]
MANY_FILES = [part("images", bytes(MOST))] * MANY + [b"--x-x--"]
FOUR_MEGABYTES = [(LINES, ONE_LINE, 2), (LINES, MANY_LINES, MANY), (FORM, ONE_FILE, 1), (FORM, MANY_FILES, MANY)]


@pytest.mark.slow
@pytest.mark.parametrize(("content_type", "pieces", "expected"), FOUR_MEGABYTES)
def test_memory_holds_no_more_than_one_image(content_type: str, pieces: list[bytes], expected: int) -> None:
    async def count() -> int:
        body = read_batch_body(request := a_request(pieces, content_type), request.stream(), a_hold())
        await body.fields()
        return len([None async for _ in body.items()])

    tracemalloc.start()
    try:
        assert asyncio.run(count()) == expected
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["images", "image", "images[]", "image[]", "images[0]", "images[12]"])
def test_the_images_field_may_have_list_brackets(name: str) -> None:
    _, items, _ = read(form(MODEL, part(name, IMAGE, "1.png"), part(name, b"2", "2.png")))
    assert items == [Item("1.png", IMAGE), Item("2.png", b"2")]


@pytest.mark.parametrize("name", ["images[a]", "images[", "imagess", "images[][]x", "file"])
def test_other_fields_are_no_images(name: str) -> None:
    assert refused(errors.InvalidParameter, form(MODEL, part(name, IMAGE, "1.png"))).pointer == "/images"


def test_clutter_among_images_is_skipped_as_in_an_archive() -> None:
    names = ["a/.DS_Store", "a/1.png", "Thumbs.db", "__MACOSX/a/._1.png", "a/._1.png", "README.txt"]
    _, items, skipped = read(form(*(part("images", IMAGE, name) for name in names)))
    assert [item.name for item in items] == ["a/1.png", "README.txt"], "whoever chooses a file is told that it is none"
    assert (skipped.count, skipped.names) == (4, ["a/.DS_Store", "Thumbs.db", "__MACOSX/a/._1.png", "a/._1.png"])


def test_an_empty_file_field_of_a_browser_form_is_no_image() -> None:
    _, items, skipped = read(form(part("images", b"", ""), FILE, part("images", b"", "empty.png")))
    assert [item.name for item in items] == ["7.png", "empty.png"]
    assert (skipped.count, skipped.names) == (1, [])


@pytest.mark.parametrize(
    "kind", ["application/ndjson", "application/jsonl", "application/x-jsonlines", "Application/X-NDJSON; a=b"]
)
def test_the_image_of_a_line_may_have_several_member_names(kind: str) -> None:
    assert read(line(), kind)[1] == [Item("line 1", IMAGE)]


def test_file_names_are_read_in_every_encoding_of_clients() -> None:
    heads = [
        b"form-data; name=images; filename=\"=?utf-8?B?w6kxLnBuZw==?=\"; filename*=utf-8''%C3%A91.png",
        b"form-data; name=\"images\"; filename*=UTF-8''%C3%A92.png",
        b'form-data; name="images"; filename="=?UTF-8?Q?=C3=A93.png?="',
        'form-data; name="images"; filename="gnp\u202e.4\u009b31m.png"'.encode(),
    ]
    body = b"".join(b"--x-x\r\nContent-Disposition: %b\r\n\r\n1\r\n" % head for head in heads) + b"--x-x--"
    assert [item.name for item in read(body)[1]] == ["é1.png", "é2.png", "é3.png", "gnp.431m.png"]
