"""The roles besides predicting (record, webhooks, upkeep): their workers' signs of life, and how late their work is.

A worker signs when it does its role's work (the recorder and the courier when they check for work, upkeep after a
sweep), not merely because its process is alive. Reading all roles is one script of a few commands.
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
"""A role without a sign of life for so long is missing; a check that waits for Postgres takes about 5 s."""
SIGNER_GONE: Final = timedelta(days=1)
"""How long a silent worker's last sign is kept, which says since when nobody does the work."""
LATE_AFTER: Final = timedelta(seconds=60)
"""A role's work is late once it has waited for so long, even if a worker signs."""
MOST_BELLS: Final = 30
"""Celery messages that may wait: bells ring every 5 s at most, sweeps every 2 s, and connected workers take them."""

KEYS: Final = (*map(keys.signs, ROLES), *ROLES, keys.FINISHED, keys.STARTED)
"""The keys of the script read_duties."""


class State(StrEnum):
    """Whether a role's work is done."""

    READY = "ready"
    LATE = "late"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One role at one instant. `silence` is the time since its last sign of life, None where there never was one."""

    role: str
    silence: timedelta | None
    bells: int
    """Celery messages of the role that no worker has taken."""
    oldest: timedelta
    """How long its oldest work has waited, as far as Redis knows; zero where there is none."""

    @property
    def state(self) -> State:
        """Whether some worker does the work, and in time."""
        if self.silence is None or self.silence > SILENT_AFTER:
            return State.MISSING
        return State.LATE if self.oldest > LATE_AFTER or self.bells > MOST_BELLS else State.READY

    @property
    def words(self) -> str:
        """What is wrong, '' where nothing is."""
        what, waits = _WORDS[self.role]
        seconds = round(self.oldest.total_seconds())
        said = []
        if self.silence is None:
            said.append(f"no worker has ever {what}")
        elif self.state is State.MISSING:
            said.append(f"no worker has {what} for {round(self.silence.total_seconds())} s")
        if self.oldest > LATE_AFTER:
            said.append(f"{waits} for {seconds} s")
        if self.bells > MOST_BELLS:
            said.append(f"{self.bells:,} of its Celery tasks wait")
        return "; ".join(said)


_WORDS: Final = {
    keys.RECORD_QUEUE: ("checked for results to record", "results have waited to be recorded"),
    keys.WEBHOOK_QUEUE: ("checked for webhooks to deliver", "start events have waited"),
    keys.UPKEEP_QUEUE: ("swept (deadlines, files, lost bells)", "sweeps have waited"),
}


class Sign:
    """One worker's signs of life in a role; thread-safe."""

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
        """Give a sign of life, at most every SIGN_PAUSE."""
        now = self._monotonic()
        if now >= self._next:
            self._scripts.run(Script.SIGN, (self._key,), self._name)
            self._next = now + SIGN_PAUSE.total_seconds()

    def leave(self) -> None:
        """Remove this worker's sign: it has stopped."""
        self._client.zrem(self._key, self._name)


def read_duties(client: redis.Redis) -> list[Duty]:
    """Return every role as it is now."""
    return parse_duties(Scripts(client).run(Script.READ_DUTIES, KEYS))


def parse_duties(reply: Any) -> list[Duty]:
    """Return the roles of read_duties' reply: for each its silence (ms, -1 never), messages, oldest work (ms)."""
    return [
        Duty(
            role=role,
            silence=None if silence < 0 else timedelta(milliseconds=silence),
            bells=bells,
            oldest=timedelta(milliseconds=oldest),
        )
        for role, (silence, bells, oldest) in zip(ROLES, reply, strict=True)
    ]
