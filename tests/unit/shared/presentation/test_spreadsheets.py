"""A spreadsheet runs no formula from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.presentation.spreadsheets import safe_cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_formula_is_prefixed_with_an_apostrophe(start: str) -> None:
    assert safe_cell(f"{start}cmd") == f"'{start}cmd"


@pytest.mark.parametrize(
    ("text", "safe"),
    [("a;=1", "a;'=1"), ("a\t+x", "a\t'+x"), ("a\n@x", "a\n'@x"), ("a;b=1", "a;b=1"), ("a;\t.png", "a;\t.png")],
)
def test_a_formula_after_another_separator_is_prefixed_too(text: str, safe: str) -> None:
    assert safe_cell(text) == safe


@pytest.mark.parametrize("text", ["", "-1", "+1", "-1.5", "1e-9", "-2E+7", "a", "a/b.png", "7=7", "'=1", "семь 🏠.png"])
def test_numbers_and_other_text_stay_unchanged(text: str) -> None:
    assert safe_cell(text) == text


@given(st.text())
def test_no_cell_starts_a_formula_and_no_text_is_lost(text: str) -> None:
    safe = safe_cell(text)
    assert safe.replace("'", "") == text.replace("'", "")
    try:
        float(text)
    except ValueError:
        assert safe[:1] not in tuple("=+-@\t\r\n＝＋－＠")
