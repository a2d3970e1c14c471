"""The folder of a label: safe on every file system, different for different labels, and readable for usual ones."""

import hashlib
import unicodedata
from typing import Final

UNLABELLED: Final = "unlabelled"
"""Folder of pictures without a label."""
MANIFEST: Final = "manifest.json"
LABELS: Final = "labels.csv"
_LONGEST: Final = 120
"""Bytes: file systems take 255, and some encrypted ones 143."""
_PLAIN: Final = frozenset(" -_.,+()&'")
_DEVICES: Final = ("con", "prn", "aux", "nul", "conin$", "conout$", "clock$")
_PORTS: Final = tuple(f"{port}{number}" for port in ("com", "lpt") for number in range(10))
_RESERVED: Final = frozenset((UNLABELLED, MANIFEST, LABELS, *_DEVICES, *_PORTS))
"""Names that Windows gives to devices, with or without a suffix; and what lies beside the folders."""


def label_folder(label: str) -> str:
    """Return a label as a folder's name: letters, digits and marks stay, all else is percent-encoded.

    A label that is too long is cut and ends with its SHA-256; an empty one is `%`.
    """
    if label == "":
        return "%"
    letters = [letter if _is_plain(letter) else _encoded(letter) for letter in label]
    if letters[0] in (".", " ") or not _RESERVED.isdisjoint((label.lower(), label.partition(".")[0].strip().lower())):
        letters[0] = _encoded(label[0])
    if letters[-1] in (".", " "):
        letters[-1] = _encoded(label[-1])
    name = "".join(letters)
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name.encode()[:40].decode(errors='ignore').rstrip(' .%')}~{digest}"


def _is_plain(letter: str) -> bool:
    return letter in _PLAIN or letter.isalnum() or unicodedata.category(letter).startswith("M")


def _encoded(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
