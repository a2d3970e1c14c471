"""Imports a heavy module at its first use: every process of a parallel run imports all test modules, few need torch."""

import gc
import importlib
import sys
import warnings
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_pytest", "_hypothesis")):  # pytest asks everything in a test module for its marks
            raise AttributeError(name)
        module = sys.modules.get(self.__name__) or _imported(self.__name__)
        return getattr(module, name)


def _imported(name: str) -> ModuleType:
    """Import a module, and keep the garbage collector from going through what came with it, now and later."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            # MLflow warns of its own type hints while it is imported.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        if enabled:
            gc.freeze()
            gc.enable()


def deferred(module: str) -> ModuleType:
    """Return what stands for a module, or a submodule, and imports it when an attribute is first read.

    Torch, torchvision, scikit-learn and MLflow take four seconds of a core together. Whoever uses this must not read an
    attribute while the test module is imported: no base class, default value or annotation of a top-level function.
    """
    return _Deferred(module)
