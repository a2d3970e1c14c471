"""Flower, ending in time: `python -m worker.flower --address=… --port=…`.

Flower itself waits at its end for threads that look for workers at a Redis that may be gone.
"""

import sys
from datetime import timedelta
from typing import Final

from worker.main import app
from worker.stopping import end_after

PATIENCE: Final = timedelta(seconds=3)


def main() -> None:
    """Run Flower with the process' arguments until it is told to stop."""
    try:
        app.start(["--quiet", "flower", *sys.argv[1:]])
    finally:
        end_after(PATIENCE)


if __name__ == "__main__":
    main()
