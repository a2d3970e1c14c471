"""What went wrong, in one line for people: from an exception of a model, torch, MLflow or any other library.

Such exceptions have the part that helps anywhere: torch lists every mismatched weight on a line of its own, TorchScript
and ONNX Runtime begin with a preamble, MLflow echoes the whole array, an `assert` says nothing at all.
"""

import re
import traceback
from pathlib import Path
from tempfile import gettempdir
from typing import Final
from zipfile import BadZipFile

from worker.models.errors import ModelUnavailable
from worker.models.model_folder import PREFIX

LONGEST: Final = 1000
"""Characters of the line. Of a longer text the beginning and the end are kept."""
_MOST_READ: Final = 200_000
"""Characters of an exception's text that are read at all: an echoed batch of images may be far larger."""
_NUMBERS: Final = re.compile(r"(?:[\[\]\s\d.,eE+\-]|nan|inf){60,}")
"""An echoed array, as numpy, torch and Python print it."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")
_FOLDER: Final = re.compile(rf"{re.escape(gettempdir())}/{PREFIX}\w+(?P<inside>/)?")
"""The folder of this worker that a version's files were copied to: it tells a reader nothing."""
_DEFINED_IN_MAIN: Final = re.compile(r"Can't get attribute '(?P<name>[^']+)' on <module '(?:[\w.]+\.)?__main__'")
"""Of a worker that was started with `python -m celery`, the module is called `celery.__main__`."""


def failure_text(error: BaseException) -> str:
    """Return an exception's text in one line of at most LONGEST characters, with its notes and its explicit causes.

    Echoed arrays are cut to their first numbers. An exception without text is told by the line of code that raised it.
    """
    parts: list[str] = []
    told: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in told:
        told.append(current)
        text = _text_of(current)
        if not any(text in part for part in parts):
            parts.append(text)
        current = current.__cause__
    return _cut(", because of ".join(parts))


def one_line(text: str) -> str:
    """Return a text in one line of at most LONGEST characters, without what neither Redis nor Postgres takes."""
    return _cut(_plain(text)) or "no reason given"


def _text_of(error: BaseException) -> str:
    """Return one exception's class and text; of ModelUnavailable the text alone, which is ours."""
    text = _plain(str(error)) or _where_raised(error)
    if isinstance(error, KeyError) and error.__traceback__ is not None:  # its text is the key alone
        text = f"{text}, in {_where_raised(error)}"
    notes = [_plain(note) for note in getattr(error, "__notes__", ())]
    told = ": ".join(filter(None, [text, _advice(error) if not notes else "", *notes]))
    return told if isinstance(error, ModelUnavailable) else f"{type(error).__name__}: {told}"


def _plain(text: str) -> str:
    """Return a text in one line, without colours, NUL, lone surrogates, echoed arrays and the worker's own folder."""
    if len(text) > _MOST_READ:
        text = text[: _MOST_READ // 2] + text[-_MOST_READ // 2 :]
    text = _ESCAPES.sub("", text.replace("\x00", ""))
    text = _FOLDER.sub(lambda found: "" if found["inside"] else "the version's folder", text)
    text = _NUMBERS.sub(lambda found: f"{found[0][:12]}… ", text)
    return " ".join(text.encode(errors="replace").decode().split())


def _where_raised(error: BaseException) -> str:
    """Return the line of code that raised an exception without text: `model.py:12: assert x.shape[1] == 4`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no reason given"
    last = frames[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}: {last.line or f'in {last.name}'}"


def _advice(error: BaseException) -> str:
    """Return what to do about an exception whose text does not say that; mostly empty."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            "install the package that has it where the workers run, or, where it is code of your own, "
            "log the model with code_paths"
        )
    if isinstance(error, FileNotFoundError) and Path(str(error.filename)).is_absolute():
        if f"/{PREFIX}" in str(error.filename):
            return "the version lacks this file: log it again"
        return "workers have the version's own files alone: log this one with it (a PythonModel's artifacts=…)"
    if isinstance(error, BadZipFile):
        return "a file of the version is damaged or cut off: log it again"
    if found := _DEFINED_IN_MAIN.search(str(error)):
        return (
            f"{found['name']} was defined in a notebook or script when the model was logged: move it to a module and "
            "log the model with code_paths, or log it as pt2"
        )
    return ""


def _cut(text: str) -> str:
    """Return a text of at most LONGEST characters: of a longer one its first part and its last."""
    if len(text) <= LONGEST:
        return text
    head = LONGEST * 3 // 5
    return f"{text[:head]} … {text[-(LONGEST - head - 3) :]}"
