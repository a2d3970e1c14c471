"""Processes that a benchmark starts by itself: a Redis, and Python services beside it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from cli.stack.servers.redis import redis_executable


class NotReady(Exception):
    """Something did not start, or did not get done, in time."""


def free_port() -> int:
    """Return a TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, limit: float, pause: float, what: str) -> float:
    """Return the monotonic time at which `condition` was first seen true. Raises NotReady after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"not within {limit:.0f} s: {what}")
        time.sleep(pause)
    return time.monotonic()


def answers(port: int) -> bool:
    """Return True where a server listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def process(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs, its output in `log`; what it started and left behind ends with it."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[int, redis.Redis]]:
    """Run a Redis, its append-only file on (fsync every second); yield its process id and a client of database 1."""
    port = free_port()
    command = [redis_executable(), "--port", str(port), "--dir", str(folder)]
    command += ["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    with process(command, log=folder / "redis.log") as server:
        client = redis.Redis(port=port, db=1)
        wait_until(lambda: answers(port), limit=10, pause=0.05, what="redis-server")
        try:
            yield server.pid, client
        finally:
            client.close()
