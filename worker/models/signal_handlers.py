"""Handlers of the signals that stop a worker, where a model's code replaces them: nothing else would stop it.

Only the main thread, in which a pool of one computes, can replace any.
"""

import signal
import threading
from typing import Any, Final

_read: Final[Any] = signal._signal.getsignal  # type: ignore[attr-defined]  # noqa: SLF001  the public one takes 2 µs
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_CELERY: Final = "celery"


class SignalHandlers:
    """The handlers at this moment; those of another thread than the main one are nobody's to change."""

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        is_main = threading.get_ident() == threading.main_thread().ident
        self._handlers = [_read(number) for number in _STOPPING] if is_main else []

    def set_back(self) -> list[str]:
        """Set back the handlers that others than Celery replaced; return their names.

        Celery replaces its own while it handles a signal that came meanwhile.
        """
        changed = []
        for number, before in zip(_STOPPING, self._handlers, strict=False):
            now = _read(number)
            if now is not before and now != before and not _is_celerys(now) and before is not None:
                signal.signal(number, before)
                changed.append(f"the handler of {number.name}")
        return changed


def _is_celerys(handler: object) -> bool:
    return str(getattr(handler, "__module__", "")).partition(".")[0] == _CELERY
