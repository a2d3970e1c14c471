"""Files that a person names on the command line."""

import os
import threading
from pathlib import Path

import pytest

from cli.feedback.run import feedback
from cli.given_files import TooLarge, read_given
from cli.models import add
from cli.submit import run as submit
from cli.terminal.refused import Refused


def test_a_file_and_a_pipe_are_read_whole_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"12345"])
    writer.start()
    assert [read_given(tmp_path / name, most=5) for name in ("file", "pipe")] == [b"12345"] * 2
    writer.join()
    assert read_given(Path(os.devnull), most=5) == b""


@pytest.mark.parametrize("name", ["sparse", "/dev/zero"])
def test_no_more_is_read_than_can_be_meant(tmp_path: Path, name: str) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TooLarge, match="it has over 1 MiB"):
        read_given(tmp_path / name, most=2**20)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("endless", "it has over 0 MiB"),
        ("missing", "No such file"),
        ("folder", "Is a directory"),
        ("loop", "Too many levels"),
        ("binary", "is not in UTF-8"),
        ("empty", "is empty"),
    ],
)
def test_a_file_that_can_not_be_feedback_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.setattr("cli.feedback.run.LARGEST_CSV", 100)
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "binary").write_bytes(bytes(range(128, 190)))
    (tmp_path / "empty").write_bytes(b"\n \n")
    with pytest.raises(Refused, match=why) as refused:
        feedback(tmp_path, tmp_path / name, batch=None)
    assert len(str(refused.value).splitlines()) == 1


def test_the_other_commands_bound_what_they_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    monkeypatch.setattr(add, "LARGEST_LABELS", 100)
    with pytest.raises(Refused, match="it has over 0 MiB"):
        add.read_labels(tmp_path / "sparse")
    monkeypatch.setattr(submit, "LARGEST_IMAGE", 100)
    lines: list[submit.Line] = []
    nobody = None  # nothing is sent
    assert not submit.submit_files(
        nobody,
        [tmp_path / "sparse"],
        model=None,
        wait=False,
        webhook=None,
        say_line=lines.append,  # type: ignore[arg-type]
    )
    assert "not sent    it has over 0 MiB" in lines[0].text
