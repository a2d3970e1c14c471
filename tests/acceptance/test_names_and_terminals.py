"""Files of any name, sent from terminals of any kind."""

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.command_forks import CommandForks
from tests.support.pictures import renewed

if TYPE_CHECKING:
    from tests.support.stack import Stack

NAMES = {
    b"7.png": "7.png",
    b"caf\xe9.png": "caf�.png",
    "日本.png".encode(): "日本.png",
    b"a\nb.png": "ab.png",
    b"-x.png": "-x.png",
    b"\x1b[31mred.png": "[31mred.png",
    "gpj.\u202eexe".encode(): None,
    b"=1+1.png": None,
}
"""Names on disk, and as the gateway has them; None where others decide that."""
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}")
TERMINALS = {
    "UTF-8": {"PYTHONUTF8": "1"},
    "ASCII": {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(params=TERMINALS.values(), ids=TERMINALS)
def darkroom(stack: "Stack", tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., bytes]]:
    """Run the command in the test's folder, as in a kind of terminal, and return its output; it must succeed."""
    environment = {name: value for name, value in stack.environment.items() if not name.startswith(("LC_", "LANG"))}

    def darkroom(*arguments: str) -> bytes:
        done = forks.run(*arguments, home=stack.home, folder=tmp_path)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert done.returncode == 0, said
        return os.fsencode(said)

    # Its encodings are those of the interpreter that it is a fork of.
    with CommandForks(environment | request.param) as forks:
        yield darkroom


def test_any_file_name_is_sent_shown_and_written_in_any_terminal(
    stack: "Stack", tmp_path: Path, darkroom: Callable[..., bytes]
) -> None:
    (tmp_path / "in").mkdir()
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/" + name)).write_bytes(renewed(stack.images[0].read_bytes()))
    paths = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "in").iterdir())
    lines = darkroom("submit", "--wait", *paths).splitlines()
    assert len(lines) == len(NAMES)
    assert all(b"succeeded" in line and b"\x1b" not in line for line in lines)
    ids = [found[0].decode() for line in lines if (found := _ID.search(line))]
    found = {httpx.get(f"{stack.url}/v1/predictions/{id}").json()["input"]["image"]["filename"] for id in ids}
    assert {name for name in NAMES.values() if name} <= found
    said = darkroom("bulk", "--out", "r.csv", "in")
    assert f"{len(NAMES)} of {len(NAMES)} succeeded".encode() in said
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {f"in/{name}" for name in NAMES.values() if name} <= {row["custom_id"] for row in rows}
    assert {row["status"] for row in rows} == {"succeeded"}
    darkroom("status")
