"""The environment variables of the process that its own libraries read, and with them what neighbours get.

MLflow's client, the HTTP and S3 libraries below it and every child process read them again each time. Those that a
model's code adds for itself stay: nobody else reads them, and it may read them with its next image.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

_READ_BY_LIBRARIES: Final = (
    "AWS_",
    "CURL_CA_BUNDLE",
    "DARKROOM_",
    "LD_",
    "MLFLOW_",
    "NETRC",
    "OTEL_",
    "PYTHON",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_",
    "TMPDIR",
)
"""Beginnings of names that count although the process was started without them."""
_PROXY: Final = "_PROXY"
_NAMED: Final = 5
"""Names of changed variables that are told."""


class GuardedVariables:
    """Those that the process had when they were first read, and those that its libraries read."""

    def __init__(self) -> None:
        self._started: frozenset[str] | None = None
        self._seen: Mapping[bytes, bytes] = {}
        self._guarded: Mapping[str, str] = {}

    def begin(self) -> None:
        """Guard what is in the environment now; `read` does so where nothing is guarded yet."""
        self._started = None

    def read(self) -> Mapping[str, str]:
        """Return them by name. An unchanged environment is only compared, in a microsecond."""
        raw: Any = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001  os.environ decodes each: 30 µs
        if self._started is None:
            self._started = frozenset(os.environ)
        elif raw == self._seen:
            return self._guarded
        self._seen = dict(raw)
        self._guarded = {name: value for name, value in os.environ.copy().items() if self._is_guarded(name)}
        return self._guarded

    def write(self, kept: Mapping[str, str]) -> str:
        """Set back what `read` returned; return the names of those that were changed."""
        now = self.read()
        changed = sorted(name for name in {*kept, *now} if kept.get(name) != now.get(name))
        for name in changed:
            if name in kept:
                os.environ[name] = kept[name]
            else:
                os.environ.pop(name, None)
        more = len(changed) - _NAMED
        return ", ".join(changed[:_NAMED]) + (f" and {more} more" if more > 0 else "")

    def _is_guarded(self, name: str) -> bool:
        upper = name.upper()
        return name in (self._started or ()) or upper.startswith(_READ_BY_LIBRARIES) or upper.endswith(_PROXY)
