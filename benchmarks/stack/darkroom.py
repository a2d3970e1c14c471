"""A Darkroom stack, started and stopped by its own command, with what the benchmarks read from it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg2
import redis

from benchmarks.stack import processors, servers
from benchmarks.workbench import Workbench
from cli.stack.servers.mlflow_login import Login
from shared.domain.identifiers import ANYONE, ModelName
from shared.queue import keys

COMMAND = (sys.executable, "-m", "cli.main")
"""Not the installed command: a copy of the files without an installation will do."""
_READY: Final = re.compile(r"^(.+) ready after ([0-9.]+) s$", re.MULTILINE)
"""A line of what `up --detach` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack: its gateway's port, its processes by role, and where its stores are."""

    model: str
    port: int
    roles: Mapping[str, Sequence[int]]
    metrics: Mapping[str, Sequence[str]]
    """Addresses of the metrics of each role's processes."""
    redis: redis.Redis
    redis_url: str
    database_url: str
    registry: Mapping[str, str]
    """Environment variables for clients of the registry: its address and the login."""
    start: Mapping[str, float]
    """Seconds from `up` until each role was ready."""

    def depth(self) -> int:
        """Return how many entries wait or are being computed."""
        return int(self.redis.xlen(keys.lane(ModelName(self.model), keys.INTERACTIVE)))

    def bulk_depth(self, batch: str) -> int:
        """Return how many entries of a batch wait or are being computed."""
        return int(self.redis.xlen(keys.lane(ModelName(self.model), keys.bulk_lane(batch))))

    def memory_mebibytes(self) -> float:
        """Return Redis' memory in use."""
        return float(self.redis.info("memory")["used_memory"]) / 2**20

    def rewrites(self) -> int:
        """Return how often Redis has forked, which it does to rewrite its append-only file."""
        return int(self.redis.info("stats")["total_forks"])

    def wait_until_rewritten(self, *, limit: float) -> None:
        """Wait until Redis is not rewriting its append-only file."""
        servers.wait_until(
            lambda: not self.redis.info("persistence")["aof_rewrite_in_progress"],
            limit=limit,
            pause=0.1,
            what="the append-only file rewritten",
        )

    def is_idle(self) -> bool:
        """Tell whether every accepted job has ended and has its row committed.

        A job leaves `inflight` and enters `finished` in one script, and leaves `finished` after the commit.
        """
        both = self.redis.pipeline(transaction=True)
        both.zcard(keys.inflight(ANYONE))
        both.xlen(keys.FINISHED)
        unfinished, unrecorded = both.execute()
        return not unfinished and not unrecorded

    def wait_until_idle(self, *, limit: float) -> float:
        """Return the monotonic time at which the last row was there, as seen every 10 ms."""
        return servers.wait_until(self.is_idle, limit=limit, pause=0.01, what="a row for every prediction")

    def wait_until_recorded(self, *, limit: float) -> None:
        """Return when everything that has finished has its row; more may be waiting."""
        servers.wait_until(
            lambda: not self.redis.xlen(keys.FINISHED), limit=limit, pause=0.01, what="rows for what finished"
        )

    @contextmanager
    def workers_stopped(self, role: str = "predict") -> Iterator[None]:
        """Suspend a role's processes during the block: for less than their lease, or while they hold no work."""
        pids = self.roles[role]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def spent(self) -> dict[str, float]:
        """Return processor time by role so far, in seconds."""
        return processors.spent(self.roles)

    def rows(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return status and predicted class of those of the predictions that Postgres has; a chain's is its crop's."""
        with self.connected() as cursor:
            cursor.execute(
                "SELECT id::text, status, coalesce(output ->> 'predicted_class',"
                " output #>> '{pipeline,steps,1,results,0,output,predicted_class}')"
                " FROM predictions WHERE id = ANY(%s::uuid[])",
                (list(ids),),
            )
            return {id: (status, predicted) for id, status, predicted in cursor.fetchall()}

    def total_milliseconds(self, ids: Sequence[str]) -> list[float]:
        """Return how long each of the predictions took from its submission to its result."""
        with self.connected() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM completed_at - created_at)::float8 * 1000 FROM predictions"
                " WHERE id = ANY(%s::uuid[])",
                (list(ids),),
            )
            return [milliseconds for (milliseconds,) in cursor.fetchall()]

    def count_rows(self) -> int:
        """Return how many predictions Postgres has."""
        with self.connected() as cursor:
            cursor.execute("SELECT count(*) FROM predictions")
            return int(cursor.fetchone()[0])

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Yield a cursor of Postgres, each statement of which sees what is committed by then."""
        connection = psycopg2.connect(self.database_url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


def home(bench: Workbench) -> Path:
    """Return the home of every stack of the run: the registry in it is made once."""
    return bench.folder / "home"


@contextmanager
def running(
    bench: Workbench,
    model: str,
    *others: str,
    appendfsync: str,
    settings: Mapping[str, str] | None = None,
    limit: float = 300,
) -> Iterator[Stack]:
    """Start a stack that serves `model`, with empty stores; yield it when all of it is ready; stop it.

    `others` are served too. `settings`: environment variables that are not to be at their defaults. `limit` is that of
    the start, in seconds.
    """
    place, port = home(bench), servers.free_port()
    for store in ("redis", "postgres"):
        shutil.rmtree(place / store, ignore_errors=True)
    try:
        models = [argument for name in (model, *others) for argument in ("--model", name)]
        up = ("up", "--detach", "--home", str(place), "--port", str(port), *models)
        said = _darkroom(*up, environment={"DARKROOM_LOCAL_APPENDFSYNC": appendfsync, **(settings or {})}, limit=limit)
        roles = orjson.loads(_darkroom("status", "--json", "--home", str(place)))
        client = redis.Redis.from_url(roles["redis"]["url"])
        try:
            yield Stack(
                model=model,
                port=port,
                roles={role: facts["pids"] for role, facts in roles.items()},
                metrics={role: facts["metrics_urls"] for role, facts in roles.items()},
                redis=client,
                redis_url=roles["redis"]["url"],
                database_url=roles["postgres"]["url"],
                registry=_registry(place, roles["mlflow"]["url"]),
                start={role: float(seconds) for role, seconds in _READY.findall(said)},
            )
        finally:
            client.close()
    finally:
        _darkroom("down", "--home", str(place))


def _registry(place: Path, url: str) -> dict[str, str]:
    """Return what MLflow's client needs in its environment."""
    login = Login.read(place)
    return {"MLFLOW_TRACKING_URI": url, **(login.environment() if login else {})}


def _darkroom(*arguments: str, environment: Mapping[str, str] | None = None, limit: float = 300) -> str:
    """Run the product's own command, its settings at their defaults, and return what it printed.

    Raises NotReady with its words where it fails.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
        env={**own, **(environment or {})},
    )
    if done.returncode:
        raise servers.NotReady(f"darkroom {arguments[0]}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout
