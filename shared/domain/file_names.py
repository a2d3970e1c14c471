"""What a file's name says: system clutter, a document, an archive; and the name as it may be stored and shown."""

import re
from typing import Final

_FOLDERS: Final = frozenset(
    (
        *("__macosx", ".git", ".svn", ".hg", "@eadir", "#recycle", "$recycle.bin", "system volume information"),
        *(".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".appledouble", ".thumbnails"),
        *(".ipynb_checkpoints", "__pycache__"),
    )
)
_FILES: Final = frozenset(
    (
        *(".ds_store", ".gitkeep", ".gitignore", ".gitattributes", ".localized", ".nomedia", ".directory", "icon\r"),
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".picasa.ini"),
    )
)
# By their first bytes these are zips.
_OFFICE: Final = frozenset(("xlsx", "xlsm", "docx", "pptx", "ods", "odt", "odp", "pages", "numbers", "key"))
_DOCUMENTS: Final = frozenset(
    (
        *("txt", "csv", "tsv", "json", "jsonl", "ndjson", "geojson", "xml", "yaml", "yml", "toml", "ini", "cfg"),
        *("conf", "md", "rst", "html", "htm", "log", "sql", "py", "ipynb", "js", "css", "sh", "bat", "ps1", "tex"),
        *("bib", "rtf", "xls", "doc", "ppt", "pdf", "url", "lnk", "names", "lst"),
    )
)
_WITHOUT_SUFFIX: Final = frozenset(
    ("readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile", "dockerfile", "version")
)
# JSON, Postgres and terminals fail on control characters and lone surrogates. Marks that turn the direction of writing
# show another name than the real one (`gnp.exe` as `exe.png`), and so do line ends. The joiner of emoji (U+200D) stays.
_UNSHOWABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def is_clutter(name: str) -> bool:
    """Tell whether a path, with `/` or backslashes, is of a file that an operating system or archiver left there."""
    folders, _, file = name.replace("\\", "/").rpartition("/")
    if file.startswith("._") or file.lower() in _FILES:
        return True
    return bool(folders) and not _FOLDERS.isdisjoint(folders.lower().split("/"))


def is_office_document(name: str) -> bool:
    """Tell whether a path has the suffix of an Office document, which is a zip inside."""
    return _suffix(name) in _OFFICE


def is_document(name: str) -> bool:
    """Tell whether a path is named like a document or data that people keep beside images (`labels.csv`, `README`)."""
    suffix = _suffix(name)
    return suffix in _DOCUMENTS or (not suffix and name.rpartition("/")[2].lower() in _WITHOUT_SUFFIX)


def has_suffix(name: str) -> bool:
    """Tell whether the path's last part has a suffix."""
    return bool(_suffix(name))


def _suffix(name: str) -> str:
    """Return what follows the last dot of a path's last part, in lower case; empty where there is no suffix."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem else ""


def showable_name(name: str) -> str:
    """Return a name without characters that can't be stored, end a line, or make it look like another name."""
    return name if name.isprintable() else _UNSHOWABLE.sub("", name)
