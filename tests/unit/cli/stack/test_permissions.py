import os
import stat
from pathlib import Path

import pytest

from cli.stack import permissions
from cli.stack.permissions import NotPrivate, make_home
from cli.stack.supervisor.programs import open_log

OF_AN_EARLIER_RELEASE = {
    "redis/appendonly.aof", "redis/appendonlydir/appendonly.aof.1.incr.aof", "mlflow/mlflow.db",
    "mlflow/artifacts/1/models/m-1/artifacts/MLmodel", "logs/api.log", "logs/predictions.ndjson.1", "ports/mlflow",
    "held-out/7-0001.png", "scratch/darkroom-version-x/model.pt2", "bulk/x.jsonl", "beat-schedule", "beat-schedule.db",
    "state.json", "state.json.new", "supervisor.lock",
}  # fmt: skip


def readable(folder: Path) -> set[str]:
    """Files and folders below a folder that other users have any permission on."""
    found = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)) for path in found if path.stat().st_mode & permissions.OTHERS}


def write(folder: Path, names: set[str]) -> None:
    """Create files that everybody may read."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("an image")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_new_home_is_private_whatever_the_umask(home: Path) -> None:
    before = os.umask(0o022)
    try:
        make_home(home)
        with open_log(home, "api") as log:
            log.write(b"a line")
    finally:
        os.umask(before)
    assert readable(home) == set()


def test_a_home_of_an_earlier_release_is_made_private_except_postgres_folder(home: Path) -> None:
    write(home, OF_AN_EARLIER_RELEASE | {"postgres/PG_VERSION"})
    make_home(home)
    make_home(home)
    assert readable(home) == {"postgres", "postgres/PG_VERSION"}


def test_in_a_folder_with_other_files_only_darkrooms_are_closed(home: Path) -> None:
    theirs = {"src/main.py", "README.md"}
    write(home, OF_AN_EARLIER_RELEASE | theirs)
    home.chmod(0o777)
    make_home(home)
    assert readable(home) == {".", "src"} | theirs
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_a_folder_linked_to_another_disk_is_made_private_there(home: Path, tmp_path: Path) -> None:
    elsewhere, foreign = tmp_path / "disk", tmp_path / "foreign"
    write(elsewhere, {"appendonly.aof"})
    write(foreign, {"theirs"})
    home.mkdir()
    (home / "redis").symlink_to(elsewhere)
    (elsewhere / "link").symlink_to(foreign)
    (home / "held-out").symlink_to(tmp_path / "nothing")
    make_home(home)
    assert elsewhere.stat().st_mode & permissions.OTHERS == 0
    assert (elsewhere / "appendonly.aof").stat().st_mode & permissions.OTHERS == 0
    assert readable(foreign) == {".", "theirs"}


def test_a_folder_that_everybody_may_write_to_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o1777)
    with pytest.raises(NotPrivate, match="Everybody may write"):
        make_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another user's")
def test_another_users_folder_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_home(home)
