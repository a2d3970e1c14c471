"""Imports a heavy module at its first use: every process of a parallel run imports all test modules, few need torch."""

import importlib
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest asks everything in a test module for marks of its own
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def deferred(module: str) -> ModuleType:
    """Return what stands for a module, or a submodule, and imports it when an attribute is first read.

    Torch, torchvision, scikit-learn and MLflow take four seconds of a core together. Whoever uses this must not read an
    attribute while the test module is imported: no base class, default value or annotation of a top-level function.
    """
    return _Deferred(module)
