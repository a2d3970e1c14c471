"""Settings of the whole process that a model's code may change, and with them what other models beside it answer.

A model is code. Modules that people train with let Pillow fill up broken files with grey, or make float64 torch's
default: then a neighbour answers for half a picture, or fails. What a version changed is set back once its files are
read and after each of its passes.
"""

import gc
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from PIL import Image, ImageFile

from worker.process.exit_statuses import FORKED_EXIT

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


_OF_READING: Final = (
    # Written with None: a default device of any name makes each call of torch slower.
    _Setting("torch's default device", torch.get_default_device, lambda _: torch.set_default_device(None)),
    _Setting("the current folder", os.getcwd, os.chdir),
)
"""Read around the reading of files alone: they take 10 µs."""
_THREADS: Final = _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads)
_OF_PASSES: Final = (
    _THREADS,
    _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
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
    _Setting("which logs are disabled", lambda: logging.root.manager.disable, logging.disable),
    _Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
)
"""Read after each pass too: with all else that is done around a pass they take 5 µs."""
_READING: Final = threading.Lock()
"""Held while a version's files are read: torch keeps the exported program that it reads in a global, and libraries
change some of the settings for that long.

Where a worker read those of two models at once, one failed with an AssertionError and was tried again later.
"""
_kept: Final[dict[str, Any]] = {}
"""The settings of passes, by name, as they were before the process' first version was read."""
_told: Final[set[str]] = set()


@contextmanager
def kept_while_reading(*, threads: int) -> Iterator[list[str]]:
    """Read a version's files in the block, which no other thread does meanwhile.

    `threads` are those of a forward pass from now on, in the whole process: the last call counts. The list has, after
    the block, the names of what was changed in it and set back.
    """
    changed: list[str] = []
    with _READING, _ending_forks():
        torch.set_num_threads(threads)
        if not _kept:
            _kept.update(_values(_OF_PASSES))
        _kept[_THREADS.name] = threads
        before = _values(_OF_READING)
        try:
            yield changed
        finally:
            changed += [*_set_back(_OF_PASSES, _kept), *_set_back(_OF_READING, before)]


@contextmanager
def kept_in_a_pass() -> Iterator[None]:
    """Run a version's forward pass in the block, with the device's lock; what it changes is set back and logged."""
    with _ending_forks():
        try:
            yield
        finally:
            # While files are read a library may have changed something for that long, and sets it back itself.
            if not _READING.locked() and (changed := _set_back(_OF_PASSES, _kept)):
                new = [name for name in changed if name not in _told]
                _told.update(new)
                if new:
                    log.warning("model_changed_process", extra={"settings": ", ".join(new)})


def _values(settings: tuple[_Setting, ...]) -> dict[str, Any]:
    return {one.name: one.read() for one in settings}


def _set_back(settings: tuple[_Setting, ...], before: Mapping[str, Any]) -> list[str]:
    """Set back what is not as it was; return the names."""
    changed = []
    for one in settings:
        if one.name in before and one.read() != before[one.name]:
            one.write(before[one.name])
            changed.append(one.name)
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
