"""What the figures were taken on."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from cli.stack.servers.redis import redis_executable

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "fastapi", "uvicorn", "celery", "redis", "mlflow")


def describe() -> dict[str, Any]:
    """Return processor, memory, system and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "redis_server": _redis_server(),
        "busy_before_percent": psutil.cpu_percent(interval=1.0),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """Return the processor's name as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _redis_server() -> str:
    """Return the version of the embedded redis-server."""
    words = subprocess.run([redis_executable(), "--version"], capture_output=True, check=True, text=True).stdout.split()
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), "unknown")
