"""Actors are threads of which one runs at a time; each may be killed before any of its Redis commands.

One seeded generator chooses the next actor, so a seed reproduces a whole history.
"""

import random
import threading
from collections.abc import Callable
from typing import Any

import redis


class Abandoned(BaseException):
    """Raised in an actor that was killed, so that it does nothing more."""


class Actor:
    """The work of one process, run one Redis command at a time."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.error: BaseException | None = None
        self.ended = False
        self._work = work
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._killed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it run up to its next command."""
        self._go.release()
        self._back.acquire()

    def kill(self) -> None:
        """Kill it where it is."""
        self._killed = True
        self.step()

    def pause(self) -> None:
        """Called by the actor before each command: another actor may run now."""
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Abandoned

    def _run(self) -> None:
        self._go.acquire()
        _here.actor = self
        try:
            if not self._killed:
                self._work()
        except Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001  reported by the scheduler, with the seed
            self.error = error
        self.ended = True
        self._back.release()


_here = threading.local()


def pause() -> None:
    """Let another actor run, if an actor calls."""
    actor = getattr(_here, "actor", None)
    if actor is not None:
        actor.pause()


def die() -> None:
    """End the calling actor at once, as an image does that kills its process."""
    raise Abandoned


class SteppedRedis(redis.Redis):
    """A client that lets another actor run before every command."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        pause()
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:  # noqa: FBT001, FBT002
        pause()
        return super().pipeline(transaction, shard_hint)


class Scheduler:
    """Runs actors in a random order."""

    def __init__(self, random: random.Random, *, most_actors: int) -> None:
        self._random = random
        self._most_actors = most_actors
        self.actors: list[Actor] = []
        self._serial = 0

    @property
    def has_room(self) -> bool:
        return len(self.actors) < self._most_actors

    def spawn(self, kind: str, work: Callable[[], None]) -> Actor:
        self._serial += 1
        actor = Actor(f"{kind}-{self._serial}", work)
        self.actors.append(actor)
        return actor

    def step(self, *, kill_chance: float = 0.0) -> None:
        """Let one actor run a command, or kill it before."""
        if not self.actors:
            return
        actor = self._random.choice(self.actors)
        if self._random.random() < kill_chance:
            actor.kill()
        else:
            actor.step()
        if actor.ended:
            self.actors.remove(actor)
            if actor.error is not None:
                raise actor.error

    def drain(self) -> None:
        """Run until every actor has ended."""
        while self.actors:
            self.step()
