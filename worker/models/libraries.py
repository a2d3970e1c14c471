"""Imports what loading a version imports before the first one is loaded; the garbage collector leaves that alone."""

import threading
from collections.abc import Collection
from contextlib import suppress
from importlib import import_module
from typing import Final

from worker.process.garbage import collecting_nothing, leave_libraries_alone

_IMPORTED: Final = {
    "pytorch": ("mlflow.pytorch", "torch.export.pt2_archive._package", "sympy.combinatorics", "networkx"),
    "transformers": ("mlflow.transformers", "transformers"),
    "onnx": ("mlflow.onnx", "onnxruntime"),
    "sklearn": ("mlflow.sklearn", "sklearn"),
    "python_function": ("mlflow.pyfunc",),
}
"""By MLflow flavour: modules that bring most of what reading a version imports."""
_lock = threading.Lock()
_done: list[bool] = []


def import_libraries(flavours: Collection[str]) -> None:
    """Import the libraries of the process' first version, and leave them alone; a second call does nothing.

    What is missing here, reading the version will say. Versions loaded later may bring more libraries: the collector
    goes through those, because it can't tell them from versions.
    """
    with _lock:
        if _done:
            return
        _done.append(True)
        modules = [module for flavour in flavours for module in _IMPORTED.get(flavour, ())]
        with collecting_nothing():
            for module in modules:
                with suppress(ImportError, OSError):
                    import_module(module)
        leave_libraries_alone()
