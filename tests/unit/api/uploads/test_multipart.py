"""A form is parsed into the parts it was made of; anything else is a bad request."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.uploads.multipart import MOST_PARTS, parse_form
from shared.domain.errors import BadRequest


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b"--x\r\n",
        b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\nends here",
        b"--x\r\nContent-Type: image/png\r\n\r\nno disposition\r\n--x--\r\n",
        b"--xtra\r\nContent-Disposition: form-data; name=image\r\n\r\na\r\n--x--\r\n",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * (MOST_PARTS + 1) + b"--x--",
    ],
)
def test_a_broken_form_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_form(body, content_type="multipart/form-data; boundary=x")


def test_a_form_without_a_boundary_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        parse_form(b"--x--", content_type="multipart/form-data")


def test_a_form_may_have_a_preamble_padding_and_an_epilogue() -> None:
    body = b'hi\r\n--x \t\r\ncontent-disposition: form-data; name="image"; filename="a b.png"\r\n\r\n1\r\n2\r\n--x--bye'
    (part,) = parse_form(body, content_type='multipart/form-data; boundary="x"')
    assert (part.name, part.data, part.filename) == ("image", b"1\r\n2", "a b.png")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=60)), min_size=1, max_size=5))
def test_a_form_encoded_by_a_client_is_read_back_unchanged(parts: list[tuple[str, bytes]]) -> None:
    request = httpx.Request("POST", "http://test", files=[(name, ("ü.bin", data)) for name, data in parts])
    body, content_type = request.read(), request.headers["content-type"]
    assert [(part.name, part.data, part.filename) for part in parse_form(body, content_type=content_type)] == [
        (name, data, "ü.bin") for name, data in parts
    ]


@given(st.binary(max_size=200))
def test_no_form_raises_anything_else(body: bytes) -> None:
    for start in (b"", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'):
        try:
            parse_form(start + body + b"\r\n--x--", content_type="multipart/form-data; boundary=x")
        except BadRequest:
            continue


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        (b'form-data; name="image"', "image", None),
        (b"form-data; name=image; filename=7.png", "image", "7.png"),
        (b'form-data;name="image";filename="7.png"', "image", "7.png"),
        (b'form-data; filename="7.png"; name="image"', "image", "7.png"),
        (b'form-data; name="image"; filename="a\\"b;c.png"', "image", 'a"b;c.png'),
        (b'form-data; name="image"; filename="\xfc.png"', "image", "\xfc.png"),
        (b"form-data", "", None),
    ],
)
def test_names_are_read_however_they_are_written(disposition: bytes, name: str, filename: str | None) -> None:
    body = b"--x\r\nContent-Disposition: " + disposition + b"\r\n\r\n1\r\n--x--"
    (part,) = parse_form(body, content_type="multipart/form-data; boundary=x")
    assert (part.name, part.filename) == (name, filename)
