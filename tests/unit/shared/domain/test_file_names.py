"""What is system clutter, and which names are shown as they are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.file_names import is_clutter, showable_name


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "cats/.DS_Store",
        "Thumbs.db",
        "a\\b\\Thumbs.db",
        "cats/desktop.ini",
        "__MACOSX/cats/1.png",
        "cats/__MACOSX/._1.png",
        "cats/._1.png",
        ".git/config",
        "@eaDir/1.png",
        "THUMBS.DB",
        "a/Desktop.ini",
        "__macosx/1.png",
        "$RECYCLE.BIN/1.png",
        "a/.Trashes/1.png",
        ".ipynb_checkpoints/1.png",
    ],
)
def test_files_that_operating_systems_leave_are_clutter(name: str) -> None:
    assert is_clutter(name)


@pytest.mark.parametrize("name", ["1.png", "cats/1.png", ".hidden.png", "a.DS_Store", "MACOSX/1.png", "notes.txt", ""])
def test_ordinary_files_are_not_clutter(name: str) -> None:
    assert not is_clutter(name)


@pytest.mark.parametrize(
    "character",
    [
        *map(chr, range(32)),
        *map(chr, range(0x7F, 0xA0)),
        *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
        *"\u2066\u2067\u2068\u2069\ufeff\ud800\udfff",
    ],
)
def test_characters_that_disguise_a_name_are_removed(character: str) -> None:
    assert showable_name(f"a{character}gnp.exe") == "agnp.exe"


@pytest.mark.parametrize(
    "name", ["é.png", "日本 語.png", "👩‍👩‍👧.png", "a\u202fb.png", "שלום.png", "a\u00a0b.png", "e\u0301.png", ""]
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert showable_name(name) == name


@pytest.mark.slow
@given(st.text())
def test_no_control_character_or_line_end_is_left(name: str) -> None:
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in showable_name(name))
    assert showable_name(showable_name(name)) == showable_name(name)
