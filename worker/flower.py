"""Flower, ending in time: `python -m worker.flower --address=… --port=…`.

Flower itself waits at its end for threads that look for workers at a Redis that may be gone.
"""

import importlib
import sys
from datetime import timedelta
from typing import Final

from worker import flower_guard
from worker.main import app
from worker.process.shutdown import end_after

PATIENCE: Final = timedelta(seconds=3)


def main() -> None:
    """Run Flower with the process' arguments until it is told to stop."""
    # Celery would load it only when it starts, and then nobody would refuse strangers.
    importlib.import_module(flower_guard.COMMAND)
    flower_guard.guard()
    try:
        app.start(["--quiet", "flower", *sys.argv[1:]])
    finally:
        end_after(PATIENCE)


if __name__ == "__main__":
    main()
