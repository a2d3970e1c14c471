"""A full log file is renamed while processes write to it, and every line is in one of the two."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.observability.log_file import LogFile, cut, older, own_lines
from shared.observability.logs import JsonLines, Readable
from tests.support.waiting import LIMIT

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
    assert [writer.wait(LIMIT) for writer in writers] == [0] * WRITERS
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


def own_line(number: int, form: str) -> bytes:
    """Return a line as Darkroom's formatters write it."""
    record = logging.makeLogRecord({"msg": f"event_{number}", "levelname": "WARNING", "name": "worker"})
    formatter = JsonLines() if form == "json" else Readable()
    return formatter.format(record).encode() + b"\n"


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("noise", [0, 3_000, 25_000])
def test_own_lines_survive_a_model_that_prints_much(log: Path, descriptor: int, form: str, noise: int) -> None:
    """As many as have room in one file, whole, in order and once; the three files together stay bounded."""
    largest, written = 10_000, list[bytes]()
    file = LogFile(log, descriptors=[descriptor], largest=largest)
    for number in range(400):
        # What a model printed last need not end with a line's end.
        os.write(descriptor, b"epoch 1\n" * (noise // 8) + b"loss 0.1 ")
        written.append(own_line(number, form))
        os.write(descriptor, written[-1])
        file.turn()
        if number % 7 == 0:
            file.turn()
    texts = [path.read_bytes() if path.exists() else b"" for path in (own_lines(log), older(log), log)]
    found = re.findall(rb"[^\n]*(?<=[^0-9])event_(\d+)", b"".join(texts))
    numbers = [int(number) for number in found]
    assert numbers == list(range(numbers[0], 400))
    # Those of the last file alone would be one or a few where a model prints.
    assert sum(map(len, written[numbers[0] :])) > largest - 2 * len(written[0])
    assert [len(text) <= largest + noise + 1000 for text in texts] == [True] * 3
    assert len(texts[0]) <= largest


def test_own_lines_are_kept_once_where_a_process_is_killed_before_the_full_file_is_renamed(
    log: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LogFile(log, descriptors=[descriptor], largest=1_000)
    for number in range(2):
        os.write(descriptor, b"epoch 1\n" * 200 + own_line(number, "json"))
        with monkeypatch.context() as killed:
            replace = Path.replace

            def die(path: Path, target: Path, *, replace: Any = replace) -> Path:
                if target == older(log):
                    raise KeyboardInterrupt
                return replace(path, target)  # type: ignore[no-any-return]

            killed.setattr(Path, "replace", die)
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    file.turn()
        file.turn()
    os.write(descriptor, b"epoch 1\n" * 200 + own_line(2, "json"))
    file.turn()
    everything = b"".join(path.read_bytes() for path in (own_lines(log), older(log), log))
    assert re.findall(rb"event_(\d)", everything) == [b"0", b"1", b"2"]
    assert own_lines(log).stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_cut_goes_on_from_its_beginning(log: Path, descriptor: int) -> None:
    os.write(descriptor, b"9 bytes.\n")
    cut(log, largest=10)
    assert not older(log).exists()
    for number in range(3):
        os.write(descriptor, b"line %d\n" % number * 10)
        cut(log, largest=10)
        assert older(log).read_bytes().endswith(b"line %d\n" % number * 10)
        assert log.read_bytes() == b""
    os.write(descriptor, b"more\n")
    assert log.read_bytes() == b"more\n"
    assert sorted(path.name for path in log.parent.iterdir()) == ["predict.log", "predict.log.1"]
    cut(log.with_name("none.log"), largest=10)
