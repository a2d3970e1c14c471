"""What commands print: a terminal obeys nothing of it, whoever wrote it, and a cell is never more than a line."""

import subprocess
import sys

import pytest

from cli.terminal.lines import say, say_table

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"


def test_a_printed_text_keeps_its_lines_and_has_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"two\nlines {HOSTILE}")
    assert capsys.readouterr().out == "two\nlines \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e\\r\n"


def test_a_tables_rows_are_a_line_each_and_its_columns_straight(capsys: pytest.CaptureFixture[str]) -> None:
    say_table([("name", "why"), (HOSTILE, "a\nb"), ("[red]x[/red]", "c")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.isprintable() for line in lines] == [True] * 3
    assert len({line.index(why) for line, why in zip(lines, ("why", r"a\nb", "c"), strict=True)}) == 1


def test_why_something_cannot_be_done_is_printable_too() -> None:
    code = (
        "from cli.terminal.plain_output import prepared\nfrom cli.terminal.refused import Refused\n"
        f"with prepared(): raise Refused('no: ' + {HOSTILE!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "no: \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e\\r\n")
