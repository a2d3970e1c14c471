"""The modules that a version brings with it (`code_paths`): each version has its own, whatever another's are called.

MLflow puts the version's folder of code in front of `sys.path`, and Python gives every later `import helpers` what the
first one found: a second version, of the same model or another, answered with the first one's code.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class OwnModules:
    """What was imported from one version's folder, and where more is found."""

    def __init__(self, folder: Path) -> None:
        self._inside = f"{folder}{os.sep}"
        self._modules: dict[str, ModuleType] = {}
        self._paths: list[str] = []

    def is_here(self, place: object) -> bool:
        """Tell whether a path lies in the folder."""
        return isinstance(place, str) and f"{place}{os.sep}".startswith(self._inside)

    def collect(self) -> None:
        """Note what is imported from the folder by now."""
        self._modules = {name: module for name, module in list(sys.modules.items()) if self._has(module)}
        self._paths = [path for path in sys.path if self.is_here(path)]

    def put_in(self) -> None:
        """Have imports find it."""
        sys.modules.update(self._modules)
        sys.path[:0] = [path for path in self._paths if path not in sys.path]

    def take_out(self) -> None:
        """Have imports find it no more; what a pass has imported since is noted before."""
        self.collect()
        for name in self._modules:
            del sys.modules[name]
        sys.path[:] = [path for path in sys.path if path not in self._paths]

    def __bool__(self) -> bool:
        """Whether the version brought any code."""
        return bool(self._modules or self._paths)

    def _has(self, module: object) -> bool:
        # Of its dictionary: asking a module that imports lazily for an attribute imports it.
        told = getattr(module, "__dict__", {})
        if self.is_here(told.get("__file__")):
            return True
        return told.get("__file__") is None and any(self.is_here(path) for path in told.get("__path__") or ())


_lock = threading.Lock()
_found: list[OwnModules] = []
"""What imports find now: that of one version at most."""


@contextmanager
def own_modules_of(folder: Path) -> Iterator[OwnModules]:
    """Read a version's files, which are in the folder, in the block, which no other thread does meanwhile.

    Imports find none of another version's modules. After the block the result has the version's own.
    """
    own = OwnModules(folder)
    _switch(None)
    try:
        yield own
    except BaseException:
        with _lock:
            own.take_out()
        raise
    with _lock:
        own.collect()
        if own:
            _found[:] = [own]


def find(own: OwnModules | None) -> None:
    """Have imports find a version's modules from now on, and no other's: what a pass imports has to be its own.

    None of a version that has none, whose passes are left alone. A pass that imports by a name that another version
    uses too, while that one is read, may get the other's: only code that imports inside of its functions does.
    """
    if own is not None and own not in _found:
        _switch(own)


def _switch(own: OwnModules | None) -> None:
    with _lock:
        for before in _found:
            before.take_out()
        _found[:] = [own] if own is not None else []
        if own is not None:
            own.put_in()
