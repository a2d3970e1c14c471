"""Starts Flower, guarded, and ends it in time: `python -m worker.flower --address=… --port=…`.

On its own, Flower waits at its end for threads that ask for workers at a Redis that may be gone, and Python takes its
modules apart one by one, for a second of CPU.
"""

import importlib
import sys
from datetime import timedelta
from typing import Final

from shared import settings
from shared.observability.log_file import keep_bounded
from worker import flower_guard
from worker.main import app
from worker.process.ending import exit_with
from worker.process.shutdown import end_after

PATIENCE: Final = timedelta(seconds=3)


def main() -> None:
    """Run Flower with this process' arguments until it is told to stop."""
    keep_bounded(settings.read(settings.Logging).file)
    # Celery would load the command only when it starts, too late to replace the class that it starts.
    importlib.import_module(flower_guard.COMMAND)
    flower_guard.guard()
    try:
        app.start(["--quiet", "flower", *sys.argv[1:]])
    except SystemExit as ended:
        end_after(PATIENCE)
        if isinstance(ended.code, int | None):
            exit_with(ended.code or 0)  # with what Flower does at its end: it writes its state where it is told to
        raise
    finally:
        end_after(PATIENCE)


if __name__ == "__main__":
    main()
