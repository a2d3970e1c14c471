"""What file systems and archivers leave beside people's images."""

from typing import Final

_FOLDERS: Final = frozenset({"__MACOSX", ".git", "@eaDir"})
_FILES: Final = frozenset({".DS_Store", ".gitkeep", ".localized", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_clutter(name: str) -> bool:
    """Tell whether a path (with `/` or a backslash between its parts) is of a file that nobody meant to send."""
    folders, _, file = name.replace("\\", "/").rpartition("/")
    return file in _FILES or file.startswith("._") or not _FOLDERS.isdisjoint(folders.split("/"))
