"""What `up` says before it starts anything."""

import errno
import os
from pathlib import Path

import pytest

from cli.stack import preflight, unwritable_disks
from cli.terminal.refused import Refused
from shared.settings import SettingsError


def test_a_setting_of_any_class_that_cant_be_used_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check_settings()
    for name in ("DARKROOM_PREDICT_TIMEOUT", "DARKROOM_RETENTION_PREDICTIONS", "DARKROOM_LOG_LEVEL"):
        with monkeypatch.context() as set_wrong:
            set_wrong.setenv(name, "soon")
            with pytest.raises(SettingsError, match=name):
                preflight.check_settings()


def test_a_misspelled_setting_is_named_with_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preflight.misspelled_settings() == []
    monkeypatch.setenv("DARKROOM_QUEUE_MAX_LANE_DEPHT", "5")
    (line,) = preflight.misspelled_settings()
    assert line.startswith("DARKROOM_QUEUE_MAX_LANE_DEPHT is no setting")
    assert "DARKROOM_QUEUE_MAX_LANE_DEPTH is one" in line


def test_too_few_open_files_are_refused_with_what_allows_more(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check_limits()
    monkeypatch.setattr(preflight, "allow_connections", lambda: 64)
    with pytest.raises(Refused, match=r"64 files open.*ulimit -n"):
        preflight.check_limits()


@pytest.mark.parametrize("kind", ["below a file", "bytes that are no UTF-8"])
def test_a_home_that_cant_be_used_is_refused_with_what_to_do(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home" if kind == "below a file" else tmp_path / os.fsdecode(b"h\xf4me")
    with pytest.raises(Refused, match="--home"):
        preflight.make_home(home)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_trying_to_write_leaves_nothing(tmp_path: Path) -> None:
    preflight.make_home(tmp_path / "home")
    preflight.make_home(tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["logs"]


def test_a_full_disk_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "postgres").mkdir()
    assert unwritable_disks.unwritable_disks(tmp_path) == []
    monkeypatch.setattr(unwritable_disks, "LEAST_FREE", 1 << 62)
    (line,) = unwritable_disks.unwritable_disks(tmp_path)
    assert line.startswith(f"The disk of {tmp_path} is full")
    assert unwritable_disks.unwritable_disks(tmp_path / "nowhere") == []


@pytest.mark.parametrize("refusal", [errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_writes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
    def refuses(*_: object) -> int:
        raise OSError(refusal, os.strerror(refusal))

    (tmp_path / "redis").mkdir()
    monkeypatch.setattr(os, "open", refuses)
    monkeypatch.setattr(os, "O_TMPFILE", 1, raising=False)
    (line,) = unwritable_disks.unwritable_disks(tmp_path)
    assert line.startswith(f"The disk of {tmp_path} can't be written: {os.strerror(refusal)}")


@pytest.mark.parametrize("refusal", [errno.EACCES, errno.EISDIR, errno.EOPNOTSUPP])
def test_a_disk_that_can_not_be_asked_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuses(*_: object) -> int:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "open", refuses)
    assert unwritable_disks.unwritable_disks(tmp_path) == []
