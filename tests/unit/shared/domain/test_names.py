"""Names of strangers' files, without what can't be kept, breaks a line or shows as another name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.names import showable


@pytest.mark.parametrize(
    "character",
    [
        *map(chr, range(32)),
        *map(chr, range(0x7F, 0xA0)),
        *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
        *"\u2066\u2067\u2068\u2069\ufeff\ud800\udfff",
    ],
)
def test_what_shows_as_another_name_goes(character: str) -> None:
    assert showable(f"a{character}gnp.exe") == "agnp.exe"


@pytest.mark.parametrize(
    "name", ["é.png", "日本 語.png", "👩‍👩‍👧.png", "a\u202fb.png", "שלום.png", "a\u00a0b.png", "e\u0301.png", ""]
)
def test_what_people_write_stays(name: str) -> None:
    assert showable(name) == name


@given(st.text())
def test_no_control_and_no_line_end_is_left(name: str) -> None:
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in showable(name))
    assert showable(showable(name)) == showable(name)
