"""Settings of the whole process that a model's code may change, and with them what other models beside it answer.

A model is code. Modules that people train with let Pillow fill up broken files with grey, or make float64 torch's
default: then a neighbour answers for half a picture, or fails. One that lowered Python's recursion limit, or named a
folder for temporary files that is not there, ended every worker, one after another. What a version changed is set back
once its files are read and after each of its passes.
"""

import gc
import logging
import os
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image, ImageFile

from worker.models.log_writing import LogWriting
from worker.models.own_modules import OwnModules, find, own_modules_of
from worker.models.process_environment import GuardedVariables
from worker.models.signal_handlers import SignalHandlers
from worker.models.standard_descriptors import StandardDescriptors
from worker.process.exit_statuses import FORKED_EXIT

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    """Sets back a value that `read` returned; may return words on what was changed."""


_RECURSION: Final = 1000
"""Calls within each other that Python allows by itself; below that, libraries fail. More harms no neighbour."""
_PROBED_MASK: Final = 0o077


def _current_folder() -> str:
    """Return the current folder; '' where it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109  a third of the time
    except OSError:
        return ""


def _enter(folder: str) -> None:
    with suppress(OSError):  # it was deleted, by whomever
        os.chdir(folder)


def _mask() -> int:
    """Return the mask of new files' permissions. Reading it means writing it: it is what it was, or set back."""
    kept = _kept.get(_MASK)
    mask = os.umask(_PROBED_MASK if kept is None else kept)
    if kept is None:
        os.umask(mask)
    return mask


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # what a model named is no folder
        return ""


def _raising_warnings() -> tuple[Any, ...]:
    return tuple(one for one in warnings.filters if one[0] == "error")


def _raise_only(kept: tuple[Any, ...]) -> None:
    # The list itself: the warnings module in C holds it.
    filters: Any = warnings.filters
    filters[:] = [one for one in filters if one[0] != "error" or one in kept]


def _write_streams(kept: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = kept


_MASK: Final = "the mask of new files' permissions"
_THREADS: Final = _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads)
_variables: Final = GuardedVariables()
_descriptors: Final = StandardDescriptors()
_SETTINGS: Final = (
    # First: what follows fails where hardly a call is allowed.
    _Setting("Python's recursion limit", lambda: min(sys.getrecursionlimit(), _RECURSION), sys.setrecursionlimit),
    _THREADS,
    _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    # Modes of torch's functions, of which the default device is one: asking for the device itself takes 10 µs. Written
    # with None: a default device of any name makes each call of torch slower.
    _Setting(
        "torch's default device",
        torch._C._len_torch_function_stack,  # noqa: SLF001
        lambda _: torch.set_default_device(None),
    ),
    _Setting(
        "torch's deterministic algorithms", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    ),
    _Setting("NumPy's handling of errors", np.geterr, lambda kinds: np.seterr(**kinds)),
    _Setting(
        "Pillow's LOAD_TRUNCATED_IMAGES",
        lambda: ImageFile.LOAD_TRUNCATED_IMAGES,
        lambda value: setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", value),
    ),
    _Setting(
        "Pillow's MAX_IMAGE_PIXELS",
        lambda: Image.MAX_IMAGE_PIXELS,
        lambda value: setattr(Image, "MAX_IMAGE_PIXELS", value),
    ),
    _Setting("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    _Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    _Setting("the current folder", _current_folder, _enter),
    _Setting(_MASK, _mask, os.umask),
    _Setting("environment variables", _variables.read, _variables.write),
    _Setting("the folder of temporary files", _temporary_folder, lambda folder: setattr(tempfile, "tempdir", folder)),
    _Setting("warnings that raise", _raising_warnings, _raise_only),
    _Setting("standard output or error", lambda: (sys.stdout, sys.stderr), _write_streams),
    _Setting("the descriptors of standard input, output or error", _descriptors.read, _descriptors.write),
)
"""Read after each pass: 5 µs, with all else that is done around one 11 (AMD EPYC)."""
_READING: Final = threading.Lock()
"""Held while a version's files are read: torch keeps the exported program that it reads in a global, and libraries
change some of the settings for that long.

Where a worker read those of two models at once, one failed with an AssertionError and was tried again later.
"""
_kept: Final[dict[str, Any]] = {}
"""The settings, by name, as they were before the process' first version was read."""
_told: Final[set[str]] = set()
_notes: Final = threading.local()


@contextmanager
def kept_while_reading(folder: Path, *, threads: int) -> Iterator[tuple[OwnModules, list[str]]]:
    """Read a version's files, which are in the folder, in the block, which no other thread does meanwhile.

    `threads` are those of a forward pass from now on, in the whole process: the last call counts. After the
    block the result has the modules that the version brought, and the names of what was changed in it and set back.
    """
    changed: list[str] = []
    with _READING, _ending_forks():
        torch.set_num_threads(threads)
        if not _kept:
            _variables.begin()
            _descriptors.begin()
            _kept.update(_values())
        _kept[_THREADS.name] = threads
        handlers, logs = SignalHandlers(), LogWriting()
        try:
            with own_modules_of(folder) as own:
                yield own, changed
        finally:
            changed += [*_set_back(), *handlers.set_back(), *logs.set_back()]


@contextmanager
def kept_in_a_pass(own: OwnModules | None = None) -> Iterator[None]:
    """Run a version's forward pass in the block, with the device's lock; what it changes is set back and logged.

    What it imports is found among the version's `own` modules first, but for the time that another version is read.
    """
    if own is not None and not _READING.locked():
        find(own)
    handlers, logs = SignalHandlers(), LogWriting()
    with _ending_forks():
        try:
            yield
        finally:
            changed = handlers.set_back()
            # While files are read a library may have changed something for that long, and sets it back itself.
            if not _READING.locked():
                changed += [*_set_back(), *logs.set_back()]
            if (noted := getattr(_notes, "changed", None)) is not None:
                noted += [name for name in changed if name not in noted]
            if new := [name for name in changed if name not in _told]:
                _told.update(new)
                log.warning("model_changed_process", extra={"settings": ", ".join(new)})


@contextmanager
def noted_changes() -> Iterator[list[str]]:
    """Return, after the block, the names of what passes of this thread changed in it and was set back."""
    changed: list[str] = []
    _notes.changed = changed
    try:
        yield changed
    finally:
        _notes.changed = None


def _values() -> dict[str, Any]:
    return {one.name: one.read() for one in _SETTINGS}


def _set_back() -> list[str]:
    """Set back what is not as it was; return the names."""
    changed = []
    for one in _SETTINGS if _kept else ():
        if one.read() != (kept := _kept[one.name]):
            words = one.write(kept)
            changed.append(f"{one.name} ({words})" if isinstance(words, str) else one.name)
    return changed


@contextmanager
def _ending_forks() -> Iterator[None]:
    """End, at the end of the block, a process that was forked in it: it would read and answer on our connections."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(FORKED_EXIT)
