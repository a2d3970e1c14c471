"""Of a large JSON object only the part beside its long texts is parsed, and the size of that part is limited."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.uploads.json_bodies import LONG_TEXT, MOST_PARSED, JsonBodyError, parse_json_object

LONG = "x" * MOST_PARSED
IMAGE = b"A" * (2 * MOST_PARSED)


def test_a_small_object_is_parsed_as_it_is() -> None:
    assert parse_json_object(b'{"a": [1, "x"]}') == ({"a": [1, "x"]}, {})


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_json_object(b"\xef\xbb\xbf{}").members == {}
    assert parse_json_object(bytearray(b"\xef\xbb\xbf{}")).members == {}


def test_long_texts_are_kept_apart_with_their_escapes() -> None:
    text = b'\\"' + IMAGE + b"\\\\"
    members, long_texts = parse_json_object(
        b'{"short": "a\\"b", "input": {"image": "' + text + b'"}, "other": "' + IMAGE + b'"}'
    )
    assert members["short"] == 'a"b'
    assert bytes(long_texts[members["input"]["image"]]) == text
    assert bytes(long_texts[members["other"]]) == IMAGE


def test_the_member_of_a_long_text_is_known() -> None:
    found = parse_json_object(b'{"metadata": {"a": ["' + IMAGE + b'"]}, "model": "a", "image": "' + IMAGE + b'"}')
    assert [name for name in ("metadata", "model", "image", "none") if found.holds_long_text(name)] == [
        "metadata",
        "image",
    ]


@pytest.mark.parametrize(
    "unit",
    [b"[],", b"{},", b"1e9,", b'"a",', b'"\\ud800",', b'"",', b" ", b"9", b"[", b'"a":1,', b"\xff", b'"\\""', b"\\"],
)
@pytest.mark.parametrize("around", [(b'{"a":[', b"1]}"), (b'{"image":"' + IMAGE + b'","a":[', b"1]}"), (b"", b"")])
def test_objects_that_are_slow_to_parse_are_refused_before_parsing(unit: bytes, around: tuple[bytes, bytes]) -> None:
    # The parser's own error would be another.
    with pytest.raises(JsonBodyError, match="bytes of JSON beside its image"):
        parse_json_object(around[0] + unit * (2 * MOST_PARSED // len(unit)) + around[1])


@pytest.mark.parametrize("body", [b'{"a":"' + IMAGE, b'{"a":"' + IMAGE + b'\\"', b'{"a":' + b'"' + IMAGE + b'" "b"}'])
def test_a_text_without_an_end_is_refused(body: bytes) -> None:
    with pytest.raises((JsonBodyError, orjson.JSONDecodeError)):
        parse_json_object(body)


@pytest.mark.parametrize("unit", [b"\\" * 1000, b'\\"' * 100_000])
def test_the_search_for_a_texts_end_is_limited(unit: bytes) -> None:
    with pytest.raises(JsonBodyError, match="over"):
        parse_json_object(b'{"a":"' + IMAGE + unit + b'"}')


def test_many_long_texts_are_refused() -> None:
    text = b'"' + b"A" * (LONG_TEXT + 1) + b'",'
    assert len(parse_json_object(b'{"a":[' + text * 16 + b"1]}").long_texts) == 16
    with pytest.raises(JsonBodyError, match="texts of over"):
        parse_json_object(b'{"a":[' + text * 17 + b"1]}")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.just(LONG) | st.just('"\\' + LONG),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_any_written_object_is_read_back_whatever_its_length(value: dict[str, object]) -> None:
    members, long_texts = parse_json_object(orjson.dumps(value))
    texts = {mark: orjson.loads(b'"' + bytes(text) + b'"') for mark, text in long_texts.items()}

    def whole(found: object) -> object:
        match found:
            case str():
                return texts.get(found, found)
            case list():
                return [whole(one) for one in found]
            case dict():
                return {texts.get(name, name): whole(one) for name, one in found.items()}
        return found

    assert whole(members) == value
