"""Who does what there is to do beside predicting: signs of life by role, and work that nobody takes.

A role's workers sign where they do their work, not where their process merely lives: the recorder's look, the courier's
look, a whole sweep. Looking costs Redis a few commands, all in one script.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import redis

from shared.queue import keys
from shared.queue.lua import Script, Scripts

ROLES: Final = (keys.RECORD_QUEUE, keys.WEBHOOK_QUEUE, keys.UPKEEP_QUEUE)
"""Named as the Celery queues that their workers consume."""
SIGN_PAUSE: Final = timedelta(seconds=2)
SILENT_AFTER: Final = timedelta(seconds=20)
"""A role none of whose workers signed for so long is missing; a look that waits for Postgres takes 5 s or so."""
SIGNER_GONE: Final = timedelta(days=1)
"""So long a silent worker's last sign is kept: it says since when nobody does the work."""
LATE_AFTER: Final = timedelta(seconds=60)
"""Work of a role that has waited for so long is late, though somebody signs."""
MOST_BELLS: Final = 30
"""A bell is rung every 5 s at most, a sweep every 2 s; a worker that is connected takes them in less than a minute."""

KEYS: Final = (*map(keys.signs, ROLES), *ROLES, keys.FINISHED, keys.STARTED)
"""What the script that looks is given."""


class State(StrEnum):
    """How a role is."""

    READY = "ready"
    LATE = "late"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One role at one moment. `silence` is since its last sign of life, None where there never was one."""

    role: str
    silence: timedelta | None
    bells: int
    """Celery messages of it that no worker has taken."""
    oldest: timedelta
    """How long the oldest of its work has waited, as far as Redis knows; zero where there is none."""

    @property
    def state(self) -> State:
        """Whether somebody does it, and in time."""
        if self.silence is None or self.silence > SILENT_AFTER:
            return State.MISSING
        return State.LATE if self.oldest > LATE_AFTER or self.bells > MOST_BELLS else State.READY

    @property
    def words(self) -> str:
        """Say what is wrong, '' where nothing is."""
        what, waits = _WORDS[self.role]
        seconds = round(self.oldest.total_seconds())
        said = []
        if self.silence is None:
            said.append(f"nobody has ever {what}")
        elif self.state is State.MISSING:
            said.append(f"nobody has {what} for {round(self.silence.total_seconds())} s")
        if self.oldest > LATE_AFTER:
            said.append(f"{waits} for {seconds} s")
        if self.bells > MOST_BELLS:
            said.append(f"{self.bells:,} calls to it are not answered")
        return "; ".join(said)


_WORDS: Final = {
    keys.RECORD_QUEUE: ("looked for results to record", "results have waited for their rows"),
    keys.WEBHOOK_QUEUE: ("looked for webhooks to deliver", "starts have waited to be told"),
    keys.UPKEEP_QUEUE: ("kept house (deadlines, files, lost bells)", "it has waited"),
}


class Sign:
    """One worker's signs of life in a role; any thread may give them."""

    def __init__(
        self, client: redis.Redis, role: str, *, name: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._key = keys.signs(role)
        self._name = name
        self._monotonic = monotonic
        self._next = 0.0

    def give(self) -> None:
        """Say that the role's work is being done; costs nothing where that was said a moment ago."""
        now = self._monotonic()
        if now >= self._next:
            self._scripts.run(Script.SIGN, (self._key,), self._name)
            self._next = now + SIGN_PAUSE.total_seconds()

    def leave(self) -> None:
        """Say that this worker does it no more."""
        self._client.zrem(self._key, self._name)


def look(client: redis.Redis) -> list[Duty]:
    """Return how every role is now."""
    return read(Scripts(client).run(Script.LOOK_AT_DUTIES, KEYS))


def read(reply: Any) -> list[Duty]:
    """Read what the script that looks says: for each role silence (ms, -1 never), messages, oldest work (ms)."""
    return [
        Duty(
            role=role,
            silence=None if silence < 0 else timedelta(milliseconds=silence),
            bells=bells,
            oldest=timedelta(milliseconds=oldest),
        )
        for role, (silence, bells, oldest) in zip(ROLES, reply, strict=True)
    ]
