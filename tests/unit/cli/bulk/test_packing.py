"""A part that is packed: Ctrl-C ends that wherever it comes, and nothing else is raised in its place."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from cli.bulk import packing
from cli.bulk.packing import packed_part
from cli.bulk.parts import File, Mark, Part


@pytest.fixture
def part(tmp_path: Path) -> Part:
    files = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(bytes(number + 1))
        files.append(File(str(path), Mark(path.name, number + 1, path.stat().st_mtime_ns)))
    return Part(tuple(files), tries=0)


@contextmanager
def interrupted_at(number: int) -> Iterator[Callable[[], int]]:
    """Raise KeyboardInterrupt at this line of what packs or of zipfile, from 0; yield what counts them."""
    passed = 0

    def at_line(_frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if event == "line":
            passed += 1
            if passed == number + 1:
                raise KeyboardInterrupt
        return at_line

    def at_call(frame: FrameType, *_: Any) -> Any:
        file, callers = frame.f_code.co_filename, (frame, frame.f_back)
        # Whatever is raised in `__del__` Python ignores.
        is_ignored = any(one is not None and one.f_code.co_name == "__del__" for one in callers)
        return at_line if not is_ignored and (file == packing.__file__ or "zipfile" in file) else None

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield lambda: passed
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a ZipFile that was half made
def test_an_interrupt_at_any_line_is_what_ends_the_packing(part: Part) -> None:
    with interrupted_at(-2) as passed, packed_part(part) as packed:
        assert [file.name for file in packed.files] == ["0.png", "1.png"]
    lines = passed()
    assert lines > 100, "zipfile's own lines are among them"
    for number in range(lines):
        with pytest.raises(KeyboardInterrupt), interrupted_at(number), packed_part(part):
            pass
