"""How log lines are written, where a model's code changes it: else no line of this process would be seen any more."""

import logging
from typing import Any

_CHANGED = "how logs are written"


class LogWriting:
    """Handlers and level of the root logger at this moment, what is disabled, whether this module's logger writes."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = _read()

    def set_back(self) -> list[str]:
        """Set back what was changed since; return its name."""
        if _read() == self._kept:
            return []
        *handlers, level, disable, disabled = self._kept
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        logging.disable(disable)
        if not disabled and _log.disabled:
            # `logging.config` disables the loggers that there are, all alike.
            for one in list(logging.root.manager.loggerDict.values()):
                if isinstance(one, logging.Logger):
                    one.disabled = False
        return [_CHANGED]


_log = logging.getLogger(__name__)


def _read() -> tuple[Any, ...]:
    root = logging.root
    return (*root.handlers, root.level, root.manager.disable, _log.disabled)
