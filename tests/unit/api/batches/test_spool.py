"""The file of an archive, and the disk that it is on."""

import errno
import os
from io import FileIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.batches.spool import LEFT_FREE, open_spool, write_spool
from shared.domain.errors import StorageUnavailable

PAGE = 4096
HUGE = 100 * LEFT_FREE


def on_a_disk(monkeypatch: pytest.MonkeyPatch, *, size: int, free: int) -> None:
    disk = SimpleNamespace(f_frsize=PAGE, f_blocks=size // PAGE, f_bavail=free // PAGE)
    monkeypatch.setattr(os, "fstatvfs", lambda _: disk)


@pytest.mark.parametrize(
    ("size", "free", "fits"),
    [
        (HUGE, LEFT_FREE + PAGE, True),
        (HUGE, LEFT_FREE, False),
        (HUGE, 0, False),
        (100 * PAGE, 11 * PAGE, True),
        (100 * PAGE, 10 * PAGE, False),
        (0, PAGE, True),  # a file system that does not say how large it is
    ],
)
def test_an_archive_leaves_a_part_of_its_disk_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int, *, fits: bool
) -> None:
    with open_spool(tmp_path) as file:
        on_a_disk(monkeypatch, size=size, free=free)
        if fits:
            write_spool(file, b"x" * PAGE)
        else:
            with pytest.raises(StorageUnavailable) as refused:
                write_spool(file, b"x" * PAGE)
            assert refused.value.store == "the spool folder (its disk is nearly full)"
            assert refused.value.retry_after is not None
        assert file.seek(0, os.SEEK_END) == (PAGE if fits else 0)


def test_a_disk_that_others_fill_meanwhile_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    on_a_disk(monkeypatch, size=HUGE, free=HUGE)
    with Full(tmp_path / "spool", "w") as file, pytest.raises(StorageUnavailable, match="it is full"):
        write_spool(file, b"x")


def test_all_of_the_data_is_written_though_the_system_takes_it_in_parts(tmp_path: Path) -> None:
    class Slow(FileIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:3])

    with Slow(tmp_path / "spool", "w+") as file:
        write_spool(file, b"0123456789")
        file.seek(0)
        assert file.read() == b"0123456789"
