"""A form that arrives in pieces is parsed like one in memory; anything else is a bad request.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.batches.form_stream import LONGEST_HEADERS, FormStream, PartBegin, PartData, PartEnd
from api.uploads.multipart import parse_form
from shared.domain.errors import BadRequest

BOUNDARY = b"a-boundary"
CONTENT_TYPE = "multipart/form-data; boundary=a-boundary"
DELIMITER = b"\r\n--" + BOUNDARY

Found = list[tuple[str, str | None, bytes]]


def read(pieces: Iterable[bytes], *, content_type: str = CONTENT_TYPE) -> Found:
    """Feed the pieces and put the parts together; every event has to come in its place."""
    stream = FormStream(content_type)
    parts: Found = []
    begun: PartBegin | None = None
    data = b""
    for piece in pieces:
        for event in stream.feed(piece):
            match event:
                case PartBegin():
                    assert begun is None
                    begun, data = event, b""
                case PartData(more):
                    assert begun is not None
                    assert more
                    data += more
                case PartEnd():
                    assert begun is not None
                    parts.append((begun.name, begun.filename, data))
                    begun = None
    stream.finish()
    assert begun is None
    return parts


def whole(body: bytes) -> Found:
    return [(part.name, part.filename, part.data) for part in parse_form(body, content_type=CONTENT_TYPE)]


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def cut_at(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a body at some places, several times at one for empty pieces."""
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(cuts)]


def part(
    data: bytes, *, disposition: bytes = b'form-data; name="images"; filename="7.png"', more: bytes = b""
) -> bytes:
    return b"--" + BOUNDARY + b"\r\nContent-Disposition: " + disposition + more + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def refused(pieces: Iterable[bytes], *, content_type: str = CONTENT_TYPE) -> str:
    with pytest.raises(BadRequest) as raised:
        read(pieces, content_type=content_type)
    return raised.value.detail


# Bytes that a parser could take for its own: line ends, and every beginning of a boundary's line.
lookalikes = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"-", b"--", b"--" + BOUNDARY, b"--" + BOUNDARY + b"--"]
    + [DELIMITER[:length] for length in range(2, len(DELIMITER))]
)
contents = (
    st.lists(st.binary(max_size=40) | lookalikes, max_size=8).map(b"".join).filter(lambda data: DELIMITER not in data)
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
cuts = st.lists(st.integers(0, 600), max_size=12)


@given(st.lists(contents, max_size=4), cuts)
def test_pieces_of_a_form_give_the_parts_of_the_whole(data: list[bytes], places: list[int]) -> None:
    body = form(*map(part, data))
    found = read(cut_at(body, places))
    assert found == whole(body)
    assert [content for _, _, content in found] == data


@settings(max_examples=30)  # each is read 27 times
@given(st.lists(contents, min_size=1, max_size=3))
def test_pieces_of_every_size_give_the_same_parts(data: list[bytes]) -> None:
    body = form(*map(part, data))
    expected = whole(body)
    for size in (*range(1, 2 * len(DELIMITER)), len(body)):
        assert read(cut(body, size)) == expected


@given(st.lists(st.tuples(texts, texts, contents), min_size=1, max_size=4), cuts)
def test_a_form_encoded_by_a_client_is_read_back_unchanged(
    parts: list[tuple[str, str, bytes]], places: list[int]
) -> None:
    # A quotation mark is the client's %22 (the HTML standard), a backslash has a test of its own.
    clean = [tuple(text.translate({34: None, 92: None}) for text in texts) for *texts, _ in parts]
    files = [(name or "n", (filename or "f", data)) for (name, filename), (*_, data) in zip(clean, parts, strict=True)]
    request = httpx.Request("POST", "http://test", files=files, headers={"content-type": CONTENT_TYPE})
    body = request.read()
    found = read(cut_at(body, places))
    assert found == [(name, filename, data) for name, (filename, data) in files]
    assert found == whole(body)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        (b'form-data; name="images"', "images", None),
        (b'form-data; name="images"; filename=""', "images", ""),
        (b"form-data; name=images; filename=7.png", "images", "7.png"),
        (b'form-data;name="images";filename="7.png"', "images", "7.png"),
        (b'form-data; filename="7.png"; name="images"', "images", "7.png"),
        (b'Form-Data; Name="images"; FileName="7.PNG"', "images", "7.PNG"),
        (b'form-data; name="images"; filename="a b;c, d=e.png"', "images", "a b;c, d=e.png"),
        (b'form-data; name="images"; filename="a\\"b\\"c.png"', "images", 'a"b"c.png'),
        (b'form-data; name="images"; filename="a%22b.png"', "images", "a%22b.png"),
        ('form-data; name="картинки"; filename="дом 🏠.png"'.encode(), "картинки", "дом 🏠.png"),
        (b'form-data; name="images"; filename="\xfcber.png"', "images", "über.png"),
        (b'form-data; name="images"; filename="C:\\scans\\7.png"', "images", "7.png"),
        (b'form-data; name="images"; filename="\\\\server\\scans\\7.png"', "images", "\\server\\scans\\7.png"),
        (b'form-data; name="images"; filename="scans\\7.png"', "images", "scans\\7.png"),
        (b'form-data; name="images"; filename="scans/7.png"', "images", "scans/7.png"),
        # Where both come, filename* is the name and the plain one is for who can't read it (RFC 8187).
        (b'form-data; name="images"; filename="7.png"; filename*=UTF-8\'\'%37b.png', "images", "7b.png"),
        (b"form-data; name=\"images\"; filename*=UTF-8''%37b.png", "images", "7b.png"),
        (b'form-data; filename="7.png"', "", "7.png"),
        (b"form-data", "", None),
    ],
)
def test_names_are_read_however_they_are_written(
    disposition: bytes, name: str, filename: str | None, size: int
) -> None:
    body = form(part(b"1", disposition=disposition))
    assert read(cut(body, size)) == [(name, filename, b"1")] == whole(body)


@pytest.mark.parametrize(
    "content_type",
    [
        CONTENT_TYPE,
        'multipart/form-data; boundary="a-boundary"',
        "Multipart/Form-Data; charset=utf-8; Boundary=a-boundary",
        "multipart/form-data;boundary=a-boundary;",
    ],
)
def test_the_boundary_is_read_however_it_is_written(content_type: str) -> None:
    assert read([form(part(b"1"))], content_type=content_type) == [("images", "7.png", b"1")]


def test_other_headers_and_their_letters_change_nothing() -> None:
    head = b"--a-boundary\r\nCONTENT-TYPE:image/png\r\nX-Other: Content-Disposition: no\r\ncontent-disposition:"
    body = head + b"   form-data; name=images\r\n\r\n1\r\n--a-boundary--"
    assert read([body]) == [("images", None, b"1")] == whole(body)


def test_a_form_may_have_empty_lines_before_padding_and_an_epilogue() -> None:
    body = b"\r\n\r\n" + form(part(b"1") + part(b"2").replace(BOUNDARY, BOUNDARY + b" \t")) + b"\r\n--a-boundary\r\nbye"
    for size in range(1, 40):
        assert read(cut(body, size)) == whole(body) == [("images", "7.png", b"1"), ("images", "7.png", b"2")]


@pytest.mark.parametrize(
    "preamble", [b"\r\n\r\n", b"This is a form.\r\n", b"\r\n\r\ndigits\r\n", b"--\r\n", b"-" * 9000 + b"\r\n"]
)
@pytest.mark.parametrize("size", [1, 4, 7, 100_000])
def test_a_preamble_is_skipped_however_it_is_cut(preamble: bytes, size: int) -> None:
    body = preamble + form(part(b"1"), part(b"2"))
    assert read(cut(body, size)) == whole(body) == [("images", "7.png", b"1"), ("images", "7.png", b"2")]


def test_a_form_without_parts_is_complete() -> None:
    assert read([b"--a-boundary--"]) == []


def test_bytes_are_passed_on_as_they_arrive_not_at_a_parts_end() -> None:
    stream = FormStream(CONTENT_TYPE)
    assert list(stream.feed(part(b"")[:-2])) == [PartBegin("images", "7.png")]
    for number in range(256):
        assert list(stream.feed(bytes([number]) * 3000 + b"x")) == [PartData(bytes([number]) * 3000 + b"x")]
    assert list(stream.feed(DELIMITER + b"--")) == [PartEnd()]
    stream.finish()


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary=""', "", ";;;"],
)
def test_a_content_type_without_a_boundary_is_a_bad_request(content_type: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        FormStream(content_type)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
@example('multipart/form-data; boundary="\xe4\xff"')
def test_no_content_type_raises_anything_but_a_bad_request(content_type: str) -> None:
    only_bad_requests(lambda: FormStream(content_type))
    only_bad_requests(lambda: FormStream(f"multipart/form-data; boundary={content_type}"))


def test_a_boundary_longer_than_any_clients_is_a_bad_request() -> None:
    assert "boundary" in refused([], content_type="multipart/form-data; boundary=" + "x" * 257).lower()


def only_bad_requests(attempt: Callable[[], object]) -> object:
    """Return what an attempt gives, None where it is refused."""
    try:
        return attempt()
    except BadRequest:
        return None


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "head",
    [b"", b"Content-Type: image/png\r\n", b"X-Content-Disposition: form-data; name=images\r\n"],
)
def test_a_part_without_a_disposition_is_a_bad_request(head: bytes, size: int) -> None:
    body = form(part(b"fine"), b"--a-boundary\r\n" + head + b"\r\n1\r\n")
    assert "Content-Disposition" in refused(cut(body, size))


@pytest.mark.parametrize("size", [1, 97, 100_000])
@pytest.mark.parametrize(
    "more",
    [
        b"\r\nX: " + b"y" * 10_000,
        b"\r\n" + b"X" * 10_000 + b": y",
        b"\r\nX: " + b" " * 10_000,
        b"".join(b"\r\nX%d: " % number + b"y" * 2000 for number in range(5)),
        b"\r\nX: y" * 2000,
    ],
    ids=["value", "name", "spaces", "together", "many"],
)
def test_endless_headers_are_a_bad_request(more: bytes, size: int) -> None:
    assert "header" in refused(cut(form(part(b"1", more=more)), size)).lower()


@pytest.mark.parametrize("size", [1, 97, 100_000])
def test_headers_are_counted_a_part_at_a_time(size: int) -> None:
    long = b"\r\nX: " + b"y" * (LONGEST_HEADERS // 3)
    body = form(*[part(b"1", more=long)] * 9)
    assert read(cut(body, size)) == [("images", "7.png", b"1")] * 9


@given(st.lists(contents, min_size=1, max_size=3), st.data())
def test_a_form_cut_short_is_a_bad_request(data: list[bytes], draw: st.DataObject) -> None:
    body = form(*map(part, data)).removesuffix(b"\r\n")
    kept = draw.draw(st.integers(0, len(body) - 1))
    assert "closing boundary" in refused([body[:kept]])
    assert "closing boundary" in refused(cut(body[:kept], 1))


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b"--another-boundary\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--another-boundary--",
        b"--a-boundaryX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--a-boundary--",
        b"--a-boundary\nContent-Disposition: form-data; name=a\n\n1\n--a-boundary--\n",
        b"--a-boundary\r\nno header line\r\n\r\n1\r\n--a-boundary--",
        b"--a-boundary\r\n: value\r\n\r\n1\r\n--a-boundary--",
        b"--a-boundary\r\nContent-Disposition: form-data; name=a\rX\r\n\r\n1\r\n--a-boundary--",
        b"--a-boundary\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--a-boundary X\r\n--a-boundary--",
    ],
)
def test_a_broken_form_is_a_bad_request(body: bytes) -> None:
    assert refused([body])
    assert refused(cut(body, 1))


fragments = st.lists(
    st.sampled_from(
        [b"--a-boundary", b"\r\n", b"\r\n--a-boundary", b"Content-Disposition: form-data; name=a", b"\r\n\r\n"]
    )
    | lookalikes
    | st.sampled_from([b" ", b"\t", b":", b"X: y", b"\0", b"\xff"])
    | st.binary(max_size=20),
    max_size=14,
).map(b"".join)


@given(st.sampled_from([b"--a-boundary\r\n", part(b"1"), part(b"1")[:-2]]), fragments, cuts)
def test_no_bytes_raise_anything_else_and_cuts_change_nothing(start: bytes, rest: bytes, places: list[int]) -> None:
    for body in (start + rest, start + rest + DELIMITER + b"--"):
        at_once = only_bad_requests(lambda body=body: read([body]))
        assert only_bad_requests(lambda body=body: read(cut_at(body, places))) == at_once
        assert only_bad_requests(lambda body=body: read(cut(body, 1))) == at_once


@given(fragments | st.binary(max_size=200), cuts)
def test_no_beginning_raises_anything_else(body: bytes, places: list[int]) -> None:
    only_bad_requests(lambda: read(cut_at(body, places)))
