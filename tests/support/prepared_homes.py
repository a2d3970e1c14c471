"""Homes of stacks with the demo model in their registry, which the first stack of a run trains for the others."""

import fcntl
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.stack.plan import held_out_folder
from tests.support.stack import Stack


def up_with_digits(stack: Stack, folders: pytest.TempPathFactory) -> None:
    """Start a stack that serves `digits`: it trains the model where no stack of this run has, else it has a copy."""
    own = folders.getbasetemp()
    shared = own.parent if own.name.startswith("popen-") else own  # of all processes of the run
    kept = shared / "digits"
    with (shared / "digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            stack.up()
            _copy(stack.home, kept.with_suffix(".new"))
            kept.with_suffix(".new").rename(kept)
            return
    stack.home.mkdir(mode=0o700, parents=True)
    _copy(kept, stack.home)
    stack.up()


def _copy(home: Path, to: Path) -> None:
    """Copy the registry, which may be in use, and the held-out images."""
    shutil.copytree(held_out_folder(home), held_out_folder(to))
    shutil.copytree(home / "mlflow" / "artifacts", to / "mlflow" / "artifacts")
    database = "mlflow/mlflow.db"
    with closing(sqlite3.connect(home / database)) as ours, closing(sqlite3.connect(to / database)) as copy:
        ours.backup(copy)
