"""What a terminal or a log shows of any text: nothing that is obeyed, nothing unseen, the rest as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observability.printable import printable, printable_lines


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_any_text_is_printable_on_one_line_and_its_printable_characters_stay(text: str) -> None:
    found = printable(text)
    assert found.isprintable()
    assert printable(found) == found
    kept = iter(found)
    assert all(letter in kept for letter in text if letter.isprintable())  # in their order


@given(st.text())
def test_lines_stay_lines(text: str) -> None:
    assert printable_lines(text).count("\n") == text.count("\n")
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb", r"a\r\nb"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("pay\u200bpal", r"pay\u200bpal"),
        ("\ud800 caf\udce9", r"\ud800 caf\xe9"),
        ("é 日本 🎉 [bold]", "é 日本 🎉 [bold]"),
    ],
)
def test_what_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
