"""Images sent as text: the ways in which clients write base64 are decoded at any length, others are refused."""

import base64
import itertools
import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.uploads.encoded_images import (
    PIECE,
    ImageTextError,
    is_data_url,
    read_base64,
    read_data_url,
    unescaped,
)

LARGE = os.urandom(2 * PIECE)
SIZES = (0, 1, 2, 3, 1000)


def long(text: str | bytes) -> memoryview:
    """Return a text as found in a body that is read in pieces."""
    return memoryview(text.encode() if isinstance(text, str) else text)


WAYS = {
    "plain": base64.b64encode,
    "unpadded": lambda image: base64.b64encode(image).rstrip(b"="),
    "URL alphabet": base64.urlsafe_b64encode,
    "wrapped": base64.encodebytes,
    "wrapped as in mail": lambda image: base64.encodebytes(image).replace(b"\n", b"\r\n"),
    "percent-encoded": lambda image: quote_from_bytes(base64.b64encode(image), safe="").encode(),
    "all percents": lambda image: b"".join(b"%%%02x" % byte for byte in base64.b64encode(image)),
    "wrapped in percents": lambda image: base64.encodebytes(image).replace(b"\n", b"%0D%0A"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_base64_is_read_however_it_is_written(way: str, size: int) -> None:
    text = WAYS[way](LARGE[:size])
    assert read_base64(text.decode()) == LARGE[:size]
    assert read_data_url(f"DATA:image/png;charset=x; BASE64,{text.decode()}") == ("image/png", LARGE[:size])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("less", range(4))
def test_a_long_text_is_read_as_a_short_one(way: str, less: int) -> None:
    image = LARGE[less:]
    written = WAYS[way](image).decode()
    for escaped in (orjson.dumps(written)[1:-1], orjson.dumps(written)[1:-1].replace(b"/", b"\\/")):
        if b"\n" not in escaped:
            assert read_base64(long(escaped)) == image
            assert read_data_url(long(b"data:image/png;base64," + escaped)) == ("image/png", image)


@pytest.mark.parametrize("shift", range(13))
def test_escapes_of_json_may_lie_across_pieces(shift: int) -> None:
    text = b"A" * (PIECE - shift) + b"\\u002B\\u002b\\/\\n" * 3 + b"A" * (shift + 100)
    assert b"".join(unescaped(long(text))) == orjson.loads(b'"' + text + b'"').encode()


@pytest.mark.parametrize(
    "text",
    [
        *("*", "A", "AAAAA", "ü", "%", "%4", "%zz", "%4g", "QQ==QQ", "QQ==QQ=="),
        *("=", "====", "A===", "QQ===", "QUE==", "QUFB=", "QUFB==", "QUFB===", "QUFB===="),
    ],
)
def test_invalid_base64_is_refused_at_any_length(text: str) -> None:
    for given_text in (text, long(text), long("AAAA" * PIECE + text)):
        with pytest.raises(ImageTextError):
            read_base64(given_text)


@pytest.mark.parametrize("text", [b"\\x", b"\\ud800", b"A\0", b"A\nB", b"\\"])
def test_a_long_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ImageTextError, match="no JSON"):
        read_base64(long(text))


@pytest.mark.parametrize("text", ["data:", "data:image/png;base64", "data:" + "a" * 2000 + ",AAAA"])
def test_a_data_url_has_its_comma_near_its_start(text: str) -> None:
    for given_text in (text, long(text)):
        with pytest.raises(ImageTextError, match="comma"):
            read_data_url(given_text)


@given(st.binary(max_size=300), st.integers(0, 255))
def test_percent_escapes_are_decoded_as_urllib_does(content: bytes, always: int) -> None:
    text = b"".join(
        b"%%%02X" % byte if byte in b'%,"\\' or byte < 32 or byte > always else bytes([byte]) for byte in content
    )
    if text.isascii():
        expected = unquote_to_bytes(text)
        assert expected == content
        assert read_data_url("data:," + text.decode()) == ("", content)
        assert read_data_url(long(b"data:," + text)) == ("", content)


@pytest.mark.parametrize("length", range(10))
def test_padding_only_completes_the_last_four_characters_and_may_be_missing(length: int) -> None:
    """RFC 4648, sections 3.2 and 4: which padding is taken must not depend on Python's version."""
    encoded = re.compile("(?:A{4})*(?:AA={0,2}|AAA=?)?")
    for characters in itertools.product("A=", repeat=length):
        text = "".join(characters)
        for given_text in (text, long(text)):
            try:
                read = read_base64(given_text)
            except ImageTextError:
                read = None
            assert (read == bytes(text.count("A") * 3 // 4)) == bool(encoded.fullmatch(text)), text


@given(st.text("A+/%41\r\n=-_", max_size=40))
def test_short_and_long_texts_are_decoded_alike(text: str) -> None:
    outcomes = []
    for given_text in (text, long(orjson.dumps(text)[1:-1])):
        try:
            outcomes.append(read_base64(given_text))
        except ImageTextError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_a_data_url_is_recognised_by_its_scheme() -> None:
    for text, found in (("data:,", True), ("DaTa:x", True), ("http://data:", False), ("", False), ("dat", False)):
        assert is_data_url(text) == is_data_url(long(text)) == found


def test_a_long_text_is_decoded_in_short_pieces() -> None:
    pieces = list(unescaped(long(b"A" * (3 * PIECE + 7))))
    assert max(map(len, pieces)) <= PIECE
    assert [len(piece) for piece in itertools.islice(pieces, 3)] == [PIECE] * 3
    assert re.fullmatch(rb"A+", b"".join(pieces))
