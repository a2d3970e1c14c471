"""GPUs and CPU cores of this machine, found without importing torch."""

import os
import shutil
import subprocess
import sys
from typing import Final

from shared.cores import cores

MOST_GATEWAYS: Final = 4
"""Redis, which works in one thread, takes 0.05 ms for a small image and a gateway 0.1: more than this never help."""
CORES_OF_A_GATEWAY: Final = 4


def gateways() -> int:
    """Return how many gateways `up` starts where nobody says: one per four cores; one where they can't share a port."""
    return max(1, min(MOST_GATEWAYS, cores() // CORES_OF_A_GATEWAY)) if sys.platform == "linux" else 1


def gpus() -> list[str]:
    """Return the GPUs to use, as CUDA_VISIBLE_DEVICES names them; empty where there are none or the CPU is chosen."""
    if os.environ.get("DARKROOM_PREDICT_DEVICE") == "cpu":
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(found))] if listing.returncode == 0 else []
