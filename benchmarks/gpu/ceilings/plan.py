"""Which ceilings are measured, in which order, and how a process that measures them is run."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.figures.report import Figure
from benchmarks.gpu.subjects import DIGITS

NVJPEG: Final = "nvjpeg"
PILLOW: Final = "pillow"


def names(models: Sequence[str], *, gpu: bool) -> list[str]:
    """Return the ceilings of these models, the most wanted first."""
    first, *others = [model for model in models if model != DIGITS] or [DIGITS]
    loops = [f"loop:{model}" for model in (first, *others) if model != DIGITS]
    decoding = [NVJPEG, PILLOW] if gpu else [PILLOW]
    forwards = [f"forward:{model}" for model in (first, *others)]
    return [*loops[:1], *forwards[:1], *decoding, *loops[1:], *forwards[1:]]


def measure_ceilings(
    wanted: Sequence[str],
    *,
    folder: Path,
    seconds: float,
    limit: float,
    found: Callable[[str, Figure], object],
    failed: Callable[[str, str], object],
) -> None:
    """Measure in a process of its own, each figure handed on as it comes. `limit` is the whole process's, in seconds.

    Threads and CUDA of that process end with it: what is measured next has the card to itself.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.ceilings", str(seconds), str(folder), *wanted]
    log = folder / "ceilings.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
    ended = threading.Timer(limit, process.kill)
    ended.start()
    left = list(wanted)
    try:
        assert process.stdout is not None  # noqa: S101  Popen was asked for a pipe
        for line in process.stdout:
            _take(orjson.loads(line), left, found, failed)
    finally:
        ended.cancel()
        process.kill()
        process.wait()
    for name in left:
        failed(name, f"not measured: the process ended, or its {limit:.0f} s were over. {_last_words(log)}")


def _take(
    said: dict[str, Any],
    left: list[str],
    found: Callable[[str, Figure], object],
    failed: Callable[[str, str], object],
) -> None:
    name = str(said["of"])
    if "figure" in said:
        found(name, Figure(**said["figure"]))
    elif "failed" in said:
        failed(name, str(said["failed"]))
    elif name in left:
        left.remove(name)


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").splitlines()[-1:])[:500]
