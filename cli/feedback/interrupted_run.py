"""What a run of `darkroom feedback` leaves behind until all is sent, so that the next one continues it."""

import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

CONTINUED: Final = timedelta(days=1)
"""How long after its last part a run is continued; later the file is compared with what counts then."""
_NAME: Final = 32


@dataclass(slots=True)
class InterruptedRun:
    """A run's id, from which its idempotency keys are made, how many parts are done and what became of them.

    It is written, whole or not at all, before anything is sent and after each part that the gateway has answered, and
    deleted when all is sent. The next run begins with the first part that is not done, and sends it under the same key:
    by that the gateway knows which of its lines it has used. So a run may be killed at any instant.
    """

    path: Path
    id: str
    parts: int = 0
    total: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, home: Path, *, url: str, batch: str | None, content: str) -> Self:
        """Continue the run that was to send this text there, or start one.

        Where the home can't be written, the run can't be continued; nothing else depends on it.
        """
        what = json.dumps([url, batch, hashlib.sha256(content.encode()).hexdigest()])
        path = home / "feedback" / hashlib.sha256(what.encode()).hexdigest()[:_NAME]
        with suppress(OSError, ValueError, TypeError):  # a file of another release
            if time.time() - path.stat().st_mtime < CONTINUED.total_seconds():
                return cls(path, **json.loads(path.read_text(encoding="ascii")))
        run = cls(path, secrets.token_hex(16))
        run._write()
        return run

    def key(self, content: bytes) -> str:
        """Return the idempotency key of the next part, by its number and content."""
        return f"{self.id}-{self.parts}-{hashlib.sha256(content).hexdigest()[:_NAME]}"

    def add(self, total: dict[str, Any]) -> None:
        """Note that one more part is done, and what became of all lines so far."""
        self.parts, self.total = self.parts + 1, total
        self._write()

    def end(self) -> None:
        """Forget the run: all is sent."""
        with suppress(OSError):
            self.path.unlink()

    def _write(self) -> None:
        with suppress(OSError):
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            draft = self.path.with_suffix(f".{self.id}")
            known = {"id": self.id, "parts": self.parts, "total": self.total}
            draft.write_text(json.dumps(known), encoding="ascii")
            draft.replace(self.path)
