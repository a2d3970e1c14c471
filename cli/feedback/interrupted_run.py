"""What a run of `darkroom feedback` leaves behind until all is sent, so that the next one continues it."""

import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

CONTINUED: Final = timedelta(days=1)
"""How long after it was begun a run is continued; later the file is compared with what counts then."""
_NAME: Final = 32


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """A run's id, from which its idempotency keys are made. The gateway knows by them which lines it has used.

    Without them a line that another line of the same file overrides would be given once more. The id is written, whole
    or not at all, before anything is sent, and deleted when all is: a run killed at any instant is continued, one that
    was killed just before the deletion is sent again and changes nothing.
    """

    path: Path
    id: str

    @classmethod
    def begin(cls, home: Path, *, url: str, batch: str | None, content: str) -> Self:
        """Continue the run that was to send this text there, or start one.

        Where the home can't be written, the run can't be continued; nothing else depends on it.
        """
        what = json.dumps([url, batch, hashlib.sha256(content.encode()).hexdigest()])
        path = home / "feedback" / hashlib.sha256(what.encode()).hexdigest()[:_NAME]
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < CONTINUED.total_seconds():
                return cls(path, path.read_text(encoding="ascii"))
        run = cls(path, secrets.token_hex(16))
        with suppress(OSError):
            path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            draft = path.with_suffix(f".{run.id}")
            draft.write_text(run.id, encoding="ascii")
            draft.replace(path)
        return run

    def key(self, part: int, content: bytes) -> str:
        """Return the idempotency key of a part of the file, by its number and content."""
        return f"{self.id}-{part}-{hashlib.sha256(content).hexdigest()[:_NAME]}"

    def end(self) -> None:
        """Forget the run: all is sent."""
        with suppress(OSError):
            self.path.unlink()
