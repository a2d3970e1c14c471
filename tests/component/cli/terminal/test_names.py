import os
import subprocess
import sys

import pytest

from cli.terminal.names import sent, shown


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("7.png", "7.png"),
        ("café 日本.png", "café 日本.png"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("a\nb.png", r"a\nb.png"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("\x9b2Jcleared", r"\x9b2Jcleared"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\ud800", r"\ud800"),
        ("", ""),
        ("-x.png", "-x.png"),
    ],
)
def test_a_name_is_shown_on_one_line_without_control_characters(name: str, printed: str) -> None:
    assert shown(name) == printed
    assert shown(name).isprintable()


NAMES = [b"7.png", b"caf\xe9.png", "日本.png".encode(), b"a\nb.png", b"\xff\xfe", b"\xed\xa0\x80.png"]
LOCALES = {
    "UTF-8": {"PYTHONUTF8": "1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "C, as it is coerced": {"LC_ALL": "C"},
}


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_sent_as_the_same_utf8_from_every_locale(name: bytes, locale: dict[str, str]) -> None:
    code = "import sys; from cli.terminal.names import sent; sys.stdout.buffer.write(sent(sys.argv[1]).encode())"
    base = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run([sys.executable, "-c", code, name], env=base | locale, capture_output=True, check=True)
    assert done.stdout == name.decode("utf-8", "replace").encode()


def test_a_name_that_no_bytes_decode_to_can_be_sent() -> None:
    assert sent("\ud800x") == "?x"
