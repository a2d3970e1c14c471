"""The command's own streams, as a shell opens, closes and redirects them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_forks import CommandForks

pytestmark = pytest.mark.slow  # twenty processes

ASCII = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
LATIN = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINALS = {"ASCII": ASCII, "Latin-1": LATIN, "the C locale": C_LOCALE, "UTF-8": {"PYTHONUTF8": "1"}}
COMMANDS = {
    "help": ("--help",),
    "help of one": ("keys", "create", "--help"),
    "no such command": (b"caf\xe9",),
    "no such option": ("status", b"--caf\xe9"),
    "submit": ("submit", b"caf\xe9.png", "日本.png", "a\nb.png"),
    "submit, a dash": ("submit", "-x.png"),
    "bulk": ("bulk", b"caf\xe9"),
    "bulk, out": ("bulk", "--out", b"caf\xe9/r.csv", "."),
    "status": ("status",),
    "status for programs": ("status", "--json"),
    "down": ("down",),
    "audit": ("audit",),
    "migrate": ("migrate",),
    "listen": ("webhooks", "listen", "9000", "--secret", b"caf\xe9"),
    "a key for": ("keys", "create", b"caf\xe9"),
    "revoke": ("keys", "revoke", b"caf\xe9"),
    "purge": ("purge", "--yes", "--owner", b"caf\xe9"),
    "a webhook": ("submit", "7.png", "--webhook", b"http://caf\xe9/"),
}
HOMES = [b"caf\xe9", "日本 with a space".encode(), b"a\nb"]


def own() -> dict[str, str]:
    """Return this process's environment without a locale and settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DARKROOM_", "LC_", "LANG"))}


def run(
    *arguments: str | bytes, home: Path, environment: dict[str, str], through: str = '"$@"'
) -> "subprocess.CompletedProcess[bytes]":
    command = ["sh", "-c", through, "sh", sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(
        command, env={**own(), "DARKROOM_HOME": str(home), **environment}, capture_output=True, check=False
    )


@pytest.mark.parametrize("terminal", TERMINALS.values(), ids=TERMINALS)
def test_no_name_and_no_terminal_ends_a_command_in_a_traceback(tmp_path: Path, terminal: dict[str, str]) -> None:
    with CommandForks(own() | terminal) as forks:
        for name, arguments in COMMANDS.items():
            for home in HOMES if name == "status" else HOMES[:1]:
                done = forks.run(*arguments, home=tmp_path / os.fsdecode(home))
                assert "Traceback" not in done.stdout + done.stderr, (name, home, done)
                assert done.stdout + done.stderr, (name, home)
                expected = (0,) if name in ("help", "help of one", "status", "status for programs", "down") else (1, 2)
                assert done.returncode in expected, (name, home, done)


@pytest.mark.parametrize("command", ["status", "audit"])
@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('"$@" >&-', 0),
        ('"$@" <&-', 0),
        ('"$@" 2>&-', 0),
        ('"$@" <&- >&- 2>&-', 0),
        ('"$@" </dev/null >/dev/null', 0),
        ('"$@" >/dev/full', 1),
        ('("$@"; echo $? >&2) | true', 0),
    ],
)
def test_a_command_succeeds_with_its_output_closed(tmp_path: Path, command: str, shell: str, code: int) -> None:
    done = run(command, home=tmp_path, environment={}, through=shell)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    # `audit` without a stack exits 1 in any case.
    assert done.returncode == (1 if command == "audit" and not shell.endswith("true") else code), done.stderr


def test_a_full_disk_under_the_output_is_reported_in_one_line(tmp_path: Path) -> None:
    done = run("status", home=tmp_path, environment={}, through='"$@" >/dev/full')
    assert done.stderr == b"The output can't be written: No space left on device\n"


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("DARKROOM_API_KEY", "dk_…", "DARKROOM_API_KEY is not a key"),
        ("DARKROOM_API_KEY", "dk_a\nb", "DARKROOM_API_KEY is not a key"),
        ("DARKROOM_URL", "http://[", "DARKROOM_URL is not an address"),
        ("DARKROOM_URL", "http://host:99999", "DARKROOM_URL is not an address"),
        ("DARKROOM_URL", "localhost:8000", "DARKROOM_URL is not an address"),
        ("DARKROOM_URL", "http://a\nb", "DARKROOM_URL is not an address"),
        ("DARKROOM_HOME", "~nobody-of-this-name/x", "is not a folder"),
        ("DARKROOM_HOME", __file__, f"{__file__} is not a folder."),
        ("DARKROOM_HOME", f"{__file__}/in/it", f"{__file__} is not a folder."),
    ],
)
def test_a_setting_that_is_not_text_is_reported_in_one_line(
    command_forks: CommandForks, tmp_path: Path, setting: str, value: str, says: str
) -> None:
    (tmp_path / "7.png").touch()
    given = {"DARKROOM_HOME": str(tmp_path), "DARKROOM_URL": "http://127.0.0.1:1", setting: value}
    done = command_forks.run("submit", str(tmp_path / "7.png"), home=given.pop("DARKROOM_HOME"), **given)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert setting != "DARKROOM_API_KEY" or value not in done.stderr
