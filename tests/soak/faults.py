"""Carry out a plan's faults. A fault that can't be done now (its process is not back yet) is noted and left out."""

import contextlib
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable

import psutil
import psycopg2
import redis

from tests.soak.plan import Fault, Kind
from tests.soak.receiver import Inbox
from tests.soak.stack import SoakedStack

Say = Callable[[str], None]


class Faults:
    """The faults in effect now; `mend` ends all of them."""

    def __init__(self, stack: SoakedStack, inbox: Inbox, say: Say) -> None:
        self._stack, self._inbox, self._say = stack, inbox, say
        self._mending: list[threading.Timer] = []
        self.done: dict[str, int] = {}
        self.left_out = 0

    def play(self, plan: list[Fault], *, seconds: float) -> None:
        """Do each fault at its time; return `seconds` after the call, with everything mended."""
        began = time.monotonic()
        try:
            for fault in plan:
                _sleep_until(began + fault.at)
                self._do(fault)
            _sleep_until(began + seconds)
        finally:
            self.mend()

    def mend(self) -> None:
        """End every fault that lasts."""
        for timer in self._mending:
            timer.cancel()
            timer.function()
        self._mending.clear()

    def _do(self, fault: Fault) -> None:
        try:
            end = self._begin(fault)
        except (OSError, LookupError, psycopg2.Error, redis.RedisError, urllib.error.URLError, psutil.Error) as error:
            self.left_out += 1
            self._say(f"{fault}: left out, {type(error).__name__}")
            return
        self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
        self._say(str(fault))
        if end is not None:
            timer = threading.Timer(fault.seconds, end)
            timer.daemon = True
            timer.start()
            self._mending.append(timer)

    def _begin(self, fault: Fault) -> Callable[[], None] | None:
        """Begin a fault; return what ends it. Raises where it can't be done now."""
        match fault.kind:
            case Kind.KILL:
                os.kill(self._stack.pids(fault.target)[0], signal.SIGKILL)
            case Kind.HOLD:
                return self._hold(fault.target)
            case Kind.CUT if fault.target == "redis":
                with self._redis() as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            case Kind.CUT:
                self._cut_postgres()
            case Kind.PAUSE:
                with self._redis() as client:
                    client.execute_command("CLIENT", "PAUSE", int(fault.seconds * 1000), "WRITE")
            case Kind.PROMOTE:
                self._stack.promote(fault.target)
            case Kind.FILL:
                return self._stack.fill_disk()
            case Kind.RECEIVER:
                self._inbox.manner = fault.target
                return lambda: setattr(self._inbox, "manner", "well")
        return None

    def _hold(self, role: str) -> Callable[[], None]:
        """Stop a role's processes and all that they started."""
        held = [psutil.Process(pid) for pid in self._stack.pids(role)]
        held += [child for process in held for child in process.children(recursive=True)]
        if not held:
            raise LookupError(role)
        for process in held:
            _signal(process, signal.SIGSTOP)

        def go_on() -> None:
            for process in held:
                _signal(process, signal.SIGCONT)

        return go_on

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._stack.store("DARKROOM_REDIS_URL"), socket_timeout=2, protocol=2)

    def _cut_postgres(self) -> None:
        connection = psycopg2.connect(self._stack.store("DARKROOM_DATABASE_URL"), connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
        finally:
            connection.close()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))
