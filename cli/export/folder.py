"""The folder of an export: pictures by label, `labels.csv`, `manifest.json`.

Every file is written beside its place and renamed, the manifest last: an export that was stopped is continued by the
same command, and one that is repeated changes nothing. Pictures of an earlier export that are no longer in it go.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from cli.export.label_folders import LABELS, MANIFEST
from cli.export.selection import Picture
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared.pictures.picture_store import PictureStore

PARTIAL: Final = ".darkroom-export"
"""Folder of files that are being written; it marks a folder whose export was not finished."""
THREADS: Final = 8
_COLUMNS: Final = ("path", "label", "value", "sha256", "by", "labelled_at", "version", "predicted_class", "confidence")
_PICTURE: Final = re.compile(r"[0-9a-f]{64}\.[a-z]{1,5}")


class ExportFolder:
    """A folder that exports are written into, and nothing else: others' files in it stop the export."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, *, model: str, owner: str) -> None:
        """Make the folder; raises Refused where it holds something that is no export of this model and owner."""
        try:
            there = list(self._folder.iterdir()) if self._folder.exists() else []
            if there and not {MANIFEST, PARTIAL} & {path.name for path in there}:
                raise Refused(f"{shown(self._folder)} has other files in it: name a new folder, or that of an export.")
            if (self._folder / MANIFEST).exists():
                before = json.loads((self._folder / MANIFEST).read_bytes())
                if (before["model"], before["owner"]) != (model, owner):
                    raise Refused(f"{shown(self._folder)} has another model's or owner's export: name another.")
            (self._folder / PARTIAL).mkdir(parents=True, exist_ok=True)
        except (KeyError, TypeError, ValueError):
            raise Refused(f"{shown(self._folder)} has a {MANIFEST} that no export wrote: name a new folder.") from None
        except OSError as error:
            raise Refused(f"{shown(self._folder)} can't be written: {error.strerror}") from None

    def write_pictures(
        self, pictures: Iterable[Picture], store: PictureStore, *, on_done: Callable[[], object]
    ) -> tuple[list[dict[str, Any]], int]:
        """Write pictures that are not there yet; return their entries, and how many the store no longer had whole.

        Raises StoreError where it can't be read.
        """

        def write(picture: Picture) -> dict[str, Any] | None:
            entry = picture.entry()
            path = self._folder / entry["path"]
            if not path.is_file() or path.stat().st_size != picture.size:
                image = store.read(picture.name)
                if image is None or hashlib.sha256(image).hexdigest() != picture.digest:
                    return None
                self._write(path, image)
            on_done()
            return entry

        with ThreadPoolExecutor(THREADS) as threads:
            written = list(threads.map(write, pictures))
        entries = [entry for entry in written if entry is not None]
        return entries, len(written) - len(entries)

    def finish(self, entries: list[dict[str, Any]], *, model: str, owner: str) -> str:
        """Delete pictures of an earlier export, write the table and then the manifest; return the set's SHA-256."""
        paths = {entry["path"] for entry in entries}
        for folder in self._folder.iterdir():
            if folder.name != PARTIAL and folder.is_dir() and not folder.is_symlink():
                for file in folder.iterdir():
                    if _PICTURE.fullmatch(file.name) and f"{folder.name}/{file.name}" not in paths:
                        file.unlink()
                if not any(folder.iterdir()):
                    folder.rmdir()
        digest = set_digest(entries)
        manifest = {"format": 1, "model": model, "owner": owner, "sha256": digest, "pictures": entries}
        self._write(self._folder / LABELS, _table(entries).encode())
        text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True)
        self._write(self._folder / MANIFEST, f"{text}\n".encode("utf-8", "surrogatepass"))
        for left in (self._folder / PARTIAL).iterdir():
            left.unlink()
        (self._folder / PARTIAL).rmdir()
        return digest

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        partial = self._folder / PARTIAL / path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)


def set_digest(entries: Iterable[dict[str, Any]]) -> str:
    """Return the SHA-256 of a set: of its entries as JSON, a line each, sorted. Equal sets have equal digests."""
    lines = (json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in entries)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _table(entries: Iterable[dict[str, Any]]) -> str:
    """Return labels.csv. Labels are as they were given: it is read by training programs."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*_COLUMNS, "prediction_id"))
    for entry in entries:
        cells = [entry[column] for column in _COLUMNS]
        cells = [json.dumps(cell) if isinstance(cell, (dict, list)) else cell for cell in cells]
        table.writerow((*cells, entry["predictions"][-1]))
    return text.getvalue()
