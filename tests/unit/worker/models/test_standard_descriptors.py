"""A model's code that closes standard output, or leads it away, does so for none of the process' other lines."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.models.standard_descriptors import StandardDescriptors


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    """Yield a descriptor that stands for standard output, a log file."""
    descriptor = os.open(tmp_path / "predict.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


def lead_to_connection(output: int) -> None:
    """Close it; a connection that is opened then gets its number."""
    one, other = socket.socketpair()
    os.dup2(one.fileno(), output)
    one.close()
    other.close()


def lead_to_nothing(output: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, output)
    os.close(nothing)


@pytest.mark.parametrize("change", [os.close, lead_to_connection, lead_to_nothing])
def test_what_is_written_next_is_in_the_log(change: Callable[[int], None], output: int, tmp_path: Path) -> None:
    descriptors = StandardDescriptors([output])
    descriptors.begin()
    kept = descriptors.read()
    change(output)
    assert descriptors.read() != kept
    descriptors.write(kept)
    os.write(output, b"a line\n")
    assert descriptors.read() == kept
    assert (tmp_path / "predict.log").read_bytes() == b"a line\n"
    descriptors.close()


def test_a_log_that_was_full_and_replaced_stays(output: int, tmp_path: Path) -> None:
    descriptors = StandardDescriptors([output])
    descriptors.begin()
    kept = descriptors.read()
    new = os.open(tmp_path / "new.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(new, output)
    os.close(new)
    assert descriptors.read() == kept
    descriptors.close()


def test_one_that_was_closed_from_the_beginning_is_left(output: int) -> None:
    closed = os.dup(output)
    os.close(closed)
    descriptors = StandardDescriptors([closed])
    descriptors.begin()
    kept = descriptors.read()
    os.dup2(output, closed)
    descriptors.write(kept)
    os.close(closed)  # raises where it is not open
    descriptors.close()


def test_beginning_anew_leaves_no_copy_behind(output: int) -> None:
    before = open_descriptors()
    descriptors = StandardDescriptors([output])
    for _ in range(3):
        descriptors.begin()
    assert open_descriptors() == before + 1
    descriptors.close()
    assert open_descriptors() == before
