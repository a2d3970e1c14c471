"""What the GPU is."""

import shutil
import subprocess
from typing import Any


def describe() -> dict[str, Any]:
    """Return the first GPU's name and driver; empty strings where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {"gpu": "", "driver": ""}
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader", "--id=0"]
    said = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    name, _, driver = said.stdout.strip().partition(", ")
    return {"gpu": name, "driver": driver} if said.returncode == 0 else {"gpu": "", "driver": ""}
