"""A full log file is renamed while processes write to it, and every line is in one of the two."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.observability.log_file import LogFile, older

LARGEST = 40_000
WRITERS = 3
LINES = 400
# All writers together write more than one full file and less than two: each is renamed once.
WRITER = f"""
import os, sys
from pathlib import Path
from shared.observability.log_file import LogFile
file = LogFile(Path(sys.argv[1]), largest={LARGEST})
sys.stdin.readline()
for number in range({LINES}):
    os.write(1 + number % 2, f"{{sys.argv[2]}} {{number}} {{'x' * 40}}\\n".encode())
    file.turn()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "predict.log"


@pytest.fixture
def descriptor(log: Path) -> Iterator[int]:
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    yield opened
    os.close(opened)


def test_no_line_of_several_processes_is_lost(log: Path) -> None:
    with log.open("ab") as output:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, log, str(number)], stdin=subprocess.PIPE, stdout=output, stderr=output
            )
            for number in range(WRITERS)
        ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * WRITERS
    old, new = older(log).read_text().splitlines(), log.read_text().splitlines()
    found = [(int(line.split()[0]), int(line.split()[1])) for line in old + new]
    assert sorted(found) == [(writer, number) for writer in range(WRITERS) for number in range(LINES)]
    assert older(log).stat().st_size >= LARGEST


def test_a_file_that_is_not_full_is_left_alone(log: Path, descriptor: int) -> None:
    file = LogFile(log, descriptors=[descriptor], largest=10)
    os.write(descriptor, b"9 bytes.\n")
    file.turn()
    assert not older(log).exists()
    os.write(descriptor, b"\n")
    file.turn()
    assert (log.read_bytes(), older(log).read_bytes()) == (b"", b"9 bytes.\n\n")
    os.write(descriptor, b"more\n")
    file.turn()
    assert log.read_bytes() == b"more\n"


def test_a_new_file_is_private(log: Path, descriptor: int) -> None:
    os.write(descriptor, b"a line\n")
    LogFile(log, descriptors=[descriptor], largest=1).turn()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_gone_is_made_anew(log: Path, descriptor: int) -> None:
    """Also where a process was killed after it had renamed the file."""
    file = LogFile(log, descriptors=[descriptor])
    log.rename(older(log))
    file.turn()
    os.write(descriptor, b"a line\n")
    assert (log.read_bytes(), older(log).read_bytes()) == (b"a line\n", b"")


def test_output_that_goes_elsewhere_stays_there(log: Path, descriptor: int, tmp_path: Path) -> None:
    elsewhere = os.open(tmp_path / "terminal", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(elsewhere, b"a line\n")
        LogFile(log, descriptors=[elsewhere], largest=1).turn()
        file = LogFile(log, descriptors=[descriptor, elsewhere], largest=1)
        os.write(descriptor, b"a line\n")
        file.turn()
        assert os.path.samestat(os.fstat(elsewhere), (tmp_path / "terminal").stat())
        assert older(log).read_bytes() == b"a line\n"
    finally:
        os.close(elsewhere)
