"""Names of a form's files in all the ways that clients write them, read in time linear in the header's length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.uploads.form_headers import decode_words, header_parameters, read_boundary, read_disposition
from shared.domain.errors import BadRequest

FORM = b"form-data; name=images; "


@pytest.mark.parametrize(
    ("rest", "filename"),
    [
        # .NET's MultipartFormDataContent
        (b"filename=\"=?utf-8?B?w6kxLnBuZw==?=\"; filename*=utf-8''%C3%A91.png", "é1.png"),
        (b"filename=b.png; filename*=utf-8''b.png", "b.png"),
        # urllib3 before 1.25, aiohttp
        (b"filename*=UTF-8''%C3%A91.png", "é1.png"),
        (b"FileName*=utf-8'en'%C3%A91.png", "é1.png"),
        (b"filename*=iso-8859-1''%E91.png", "é1.png"),
        # Java Mail
        (b'filename*0="a long; "; filename*1=name.png', "a long; name.png"),
        (b"filename*1*=%C3%A9.png; filename*0*=utf-8''%C3%A9", "éé.png"),
        (b"filename*0*=utf-8''%C3%A9; filename*1=.png", "é.png"),
        # Spring, Apache HttpClient
        (b'filename="=?UTF-8?Q?=C3=A9_1.png?="', "é 1.png"),
        (b'filename="=?UTF-8?B?w6k=?= =?UTF-8?B?w6kucG5n?="', "éé.png"),
        (b'filename="=?UTF-8?B?w6k=?= =?UTF-8?Q?=C3?= =?UTF-8?Q?=A9.png?="', "éé.png"),
        (b'filename="a =?UTF-8?Q?=C3=A9?= b =?ISO-8859-1?Q?=E9?=.png"', "a é b é.png"),
        (b'filename="=?Shift_JIS?B?k/qWey5wbmc=?="', "日本.png"),
        # browsers, curl, httpx, axios, Go
        ('filename="é1.png"'.encode(), "é1.png"),
        (b'filename="\xe91.png"', "é1.png"),
        (b'filename="a\\"b\\\\c;d=e.png"', 'a"b\\c;d=e.png'),
        (b'filename="C:\\photos\\a.png"', "a.png"),
        (b'filename="a/b/c.png"', "a/b/c.png"),
        (b"filename = a.png ", "a.png"),
        (b'filename=""', ""),
        (b'filename="open', "open"),
        # nothing that can be read stays as it is
        (b'filename="=?x-unknown?B?w6k=?="', "=?x-unknown?B?w6k=?="),
        (b'filename="=?idna?Q?a?="', "=?idna?Q?a?="),
        (b'filename="=?utf-8?B?*?=.png"', ".png"),
        (b"filename=plain.png; filename*=unknown''%ff", "plain.png"),
        (b"filename=plain.png; filename*=no-quotes", "plain.png"),
        (b"filename*1=second.png", None),
        (b"", None),
    ],
)
def test_a_files_name_is_read_however_it_is_written(rest: bytes, filename: str | None) -> None:
    assert read_disposition(FORM + rest) == ("images", filename)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x",
        'multipart/form-data;charset=utf-8; BOUNDARY="x"',
        "multipart/form-data;boundary=x; a=b",
    ],
)
def test_a_boundary_is_named_in_some_ways(content_type: str) -> None:
    assert read_boundary(content_type) == b"x"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "a" * 257,
        "multipart/form-data; boundary=a" + ";" * 2000,
    ],
)
def test_a_missing_or_long_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest):
        read_boundary(content_type)


def test_parameters_are_limited_and_semicolons_alone_are_none() -> None:
    assert header_parameters(b"form-data" + b";" * 8000) == {}
    assert len(header_parameters(b"form-data" + b"".join(b"; a%d=1" % number for number in range(32)))) == 32
    with pytest.raises(BadRequest):
        header_parameters(b"form-data" + b";a=1" * 33)


@given(st.binary(max_size=200) | st.text("=?*;'\"\\utf-8QB% ", max_size=200).map(str.encode))
def test_nothing_else_is_raised(rest: bytes) -> None:
    for start in (b"", b'form-data; filename="=?utf-8?Q?', b"form-data; filename*=utf-8''", b"x; filename*0*="):
        try:
            name, _ = read_disposition(start + rest)
        except BadRequest:
            continue
        assert isinstance(name, str)


@given(st.text(max_size=60))
def test_a_text_without_encoded_words_stays_unchanged(text: str) -> None:
    if "=?" not in text:
        assert decode_words(text) == text
