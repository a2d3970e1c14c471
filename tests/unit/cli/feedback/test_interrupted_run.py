"""An interrupted run is continued for a day, by the same file alone; where the home can't be written it is not."""

import os
import time
from pathlib import Path

from cli.feedback.interrupted_run import CONTINUED, InterruptedRun

URL = "http://127.0.0.1:1"


def begin(home: Path, *, url: str = URL, batch: str | None = None, content: str = "id,label") -> InterruptedRun:
    return InterruptedRun.begin(home, url=url, batch=batch, content=content)


def test_the_same_file_is_continued_until_all_is_sent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = begin(home)
    assert begin(home) == first
    others = [begin(home, url="http://other"), begin(home, batch="b"), begin(home, content="id,label\n1,2")]
    assert len({one.id for one in (first, *others)}) == 4
    first.end()
    first.end()
    assert begin(home).id != first.id
    assert begin(home, batch="b") == others[1]


def test_each_part_has_its_key_and_the_same_until_it_is_done(tmp_path: Path) -> None:
    keys = [begin(tmp_path).key(content) for content in (b"a", b"b", b"a")]
    assert keys[0] == keys[2] != keys[1]
    begin(tmp_path).add({"created": 3})
    continued = begin(tmp_path)
    assert (continued.parts, continued.total) == (1, {"created": 3})
    assert continued.key(b"a") != keys[0]


def test_what_it_cannot_read_is_begun_anew(tmp_path: Path) -> None:
    first = begin(tmp_path)
    for text in ("", "{", "[]", "{}", '{"id": "x", "other": 1}'):
        first.path.write_text(text, encoding="ascii")
        assert begin(tmp_path).parts == 0


def test_one_of_long_ago_is_not_continued(tmp_path: Path) -> None:
    first = begin(tmp_path)
    old = time.time() - CONTINUED.total_seconds() - 1
    os.utime(first.path, (old, old))
    assert begin(tmp_path).id != first.id


def test_a_home_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    run = begin(tmp_path / "file")
    assert run.id
    run.end()
