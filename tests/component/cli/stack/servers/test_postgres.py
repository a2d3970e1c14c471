"""The embedded Postgres' folder: created whatever is there already, and however often its creation is interrupted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.stack.servers.postgres import postgres_program
from cli.stack.supervisor.programs import run_quietly


def prepared(folder: Path, sockets: Path) -> None:
    """Prepare the server's folder, and ask the database in it."""
    program = postgres_program(folder=folder, sockets=sockets)
    assert program.prepare is not None
    sockets.mkdir(exist_ok=True)
    program.prepare()
    command = (program.command[0], "--single", "-D", str(folder), "darkroom")
    run_quietly(command, account=program.account, text="SELECT 1;\n")
    assert not {"draft", "whole"} & {path.name for path in folder.iterdir()}


def missing(folder: Path) -> None:
    """Nothing is there yet."""


def disk_of_its_own(folder: Path) -> None:
    """A folder that can't be replaced, as where a disk is mounted, and that everybody may enter."""
    folder.mkdir(mode=0o777)
    (folder / "lost+found").mkdir()


def link(folder: Path) -> None:
    """A link to a folder elsewhere."""
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("lay_out", [missing, disk_of_its_own, link], ids=lambda one: one.__name__)
def test_the_folder_may_be_there_already(lay_out: Callable[[Path], None], short_directory: Callable[[], Path]) -> None:
    home = short_directory()
    lay_out(home / "postgres")
    prepared(home / "postgres", home / "sockets")


def test_a_creation_that_is_interrupted_at_every_step_ends_whole(
    short_directory: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, rename, tries = short_directory(), Path.rename, 0

    def one_step(path: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise InterruptedError
        left -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", one_step)
    while True:
        left, tries = 1, tries + 1
        try:
            prepared(home / "postgres", home / "sockets")
        except InterruptedError:
            assert not (home / "postgres" / "PG_VERSION").exists()
            continue
        break
    assert tries > 10
