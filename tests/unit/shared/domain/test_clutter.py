"""What is clutter, and what is somebody's image."""

import pytest

from shared.domain.clutter import is_clutter


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "cats/.DS_Store",
        "Thumbs.db",
        "a\\b\\Thumbs.db",
        "cats/desktop.ini",
        "__MACOSX/cats/1.png",
        "cats/__MACOSX/._1.png",
        "cats/._1.png",
        ".git/config",
        "@eaDir/1.png",
        "THUMBS.DB",
        "a/Desktop.ini",
        "__macosx/1.png",
        "$RECYCLE.BIN/1.png",
        "a/.Trashes/1.png",
        ".ipynb_checkpoints/1.png",
    ],
)
def test_what_systems_leave_is_clutter(name: str) -> None:
    assert is_clutter(name)


@pytest.mark.parametrize("name", ["1.png", "cats/1.png", ".hidden.png", "a.DS_Store", "MACOSX/1.png", "notes.txt", ""])
def test_what_people_name_is_not(name: str) -> None:
    assert not is_clutter(name)
