"""Prepares a run: both models in a registry, and the images."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.load import image_files, images
from benchmarks.stack import darkroom as stack
from benchmarks.stack.servers import NotReady
from benchmarks.workbench import DIGITS, MOBILENET, Subject, Workbench


def subjects(bench: Workbench, *, names: set[str]) -> dict[str, Subject]:
    """Return what is asked for, made where it is missing; the models are in the registry of the stacks' home.

    A folder kept from an earlier run is used as it is: models and images are the same each time.
    """
    if not all((bench.folder / name / "MLmodel").exists() for name in names):
        _models(bench, names=names)
    wanted = {DIGITS: (bench.amounts.digits, images.digits), MOBILENET: (bench.amounts.photographs, images.photographs)}
    return {name: _subject(bench, name, *wanted[name]) for name in sorted(names)}


def _subject(bench: Workbench, name: str, distinct: int, make: Callable[[int], list[bytes]]) -> Subject:
    path = bench.folder / f"{name}-{distinct}.images"
    if not path.exists():
        bench.say(f"making {distinct} images for {name}")
        image_files.write(path, make(distinct))
    return Subject(name=name, model=bench.folder / name, images=path, distinct=distinct)


def _models(bench: Workbench, *, names: set[str]) -> None:
    """Start Darkroom, which trains its demo model; register the large one too; copy both out of the registry."""
    bench.say("starting Darkroom once, which trains and registers the digits model")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        if MOBILENET in names:
            bench.say("exporting and registering mobilenet_v3_small")
            run_registering("benchmarks.stack.mobilenet", registry=running.registry)
        for name in names:
            run_registering("benchmarks.stack.fetch", name, str(bench.folder / name), registry=running.registry)


def run_registering(module: str, *arguments: str, registry: Mapping[str, str]) -> None:
    """Run a module in a process of its own, since torch and MLflow would stay in this one. Raises NotReady."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **registry, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    if done.returncode:
        raise NotReady(f"{module}: {done.stderr[-2000:]}")


def kept_folder(path: Path | None, fresh: Path) -> Path:
    """Return the folder to work in: the one to keep, made if missing, or else the fresh one."""
    if path is None:
        return fresh
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()
