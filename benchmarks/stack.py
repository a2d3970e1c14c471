"""A whole Darkroom, started and stopped by its own command, and what can be read from it while it works."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psycopg2
import redis

from benchmarks import processors, servers
from benchmarks.plan import Outcome, Plan
from benchmarks.workbench import Subject, Workbench, WrongResult
from shared.domain.identifiers import ANYONE, ModelName
from shared.queue import keys

Row = tuple[str, str]
"""Status and predicted class of one prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack: the port of its gateway, its processes by role, and its Redis and Postgres."""

    port: int
    subject: Subject
    roles: Mapping[str, Sequence[int]]
    redis: redis.Redis
    database_url: str

    def depth(self) -> int:
        """Return how many entries wait or are being computed."""
        return int(self.redis.xlen(keys.lane(ModelName(self.subject.name), keys.INTERACTIVE)))

    def is_idle(self) -> bool:
        """Tell whether every accepted job has ended and has its row committed.

        A job leaves `inflight` and enters `finished` in one script, and leaves `finished` after the commit.
        """
        waiting, unrecorded = (
            self.redis.pipeline(transaction=True).zcard(keys.inflight(ANYONE)).xlen(keys.FINISHED).execute()
        )
        return not waiting and not unrecorded

    def wait_until_idle(self, *, limit: float) -> float:
        """Return the monotonic time at which the last row was committed, as seen every 10 ms."""
        return servers.wait_until(self.is_idle, limit=limit, pause=0.01, what="a row for every prediction")

    def spent(self) -> dict[str, float]:
        """Return processor time by role so far, in seconds."""
        return processors.spent(self.roles)

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return what Postgres holds of these predictions."""
        with psycopg2.connect(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id::text, status, output ->> 'predicted_class' FROM predictions"
                " WHERE id = ANY(%s::uuid[])",
                (list(ids),),
            )
            found = {id: (status, predicted) for id, status, predicted in cursor.fetchall()}
        connection.close()
        return found

    def check(self, bench: Workbench, outcome: Outcome) -> None:
        """Raise WrongResult unless each image has its own row, and the class that the bare loop found.

        Sums in another order can tip an image whose two best classes are equal to six digits: one in a
        thousand may differ.
        """
        rows = self.rows(outcome.ids)
        if len(rows) != len(outcome.ids):
            raise WrongResult(f"{len(outcome.ids)} predictions were accepted, {len(rows)} have a row")
        failed = [id for id, (status, _) in rows.items() if status != "succeeded"]
        if failed:
            raise WrongResult(f"{len(failed)} predictions did not succeed, {failed[0]} among them")
        expected = bench.classes[self.subject.name]
        wrong = sum(rows[id][1] != expected[n % len(expected)] for n, id in enumerate(outcome.ids))
        wrong += sum(found != expected[n % len(expected)] for n, found in enumerate(outcome.classes))
        if wrong > len(outcome.ids) // 1000:
            raise WrongResult(f"{wrong} of {len(outcome.ids)} classes are not the bare loop's")

    def plan(
        self, bench: Workbench, *, images: int, connections: int = 64, wait: bool = False, limit: float = 180
    ) -> Plan:
        """Return a plan of raw bodies that no cache answers."""
        return Plan(
            port=self.port,
            path="/v1/predictions",
            images=str(self.subject.images),
            count=images,
            stamp=bench.stamp(),
            accepted=200 if wait else 202,
            connections=connections,
            prefer="wait=60" if wait else "",
            limit=limit,
        )


def darkroom(*arguments: str, environment: Mapping[str, str] | None = None, limit: float = 180) -> str:
    """Run the product's own command and return what it printed. Raises NotReady with its words where it fails."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("darkroom")), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise servers.NotReady(f"darkroom {' '.join(arguments)}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


@contextmanager
def running(home: Path, subject: Subject, *, appendfsync: str) -> Iterator[Stack]:
    """Start a stack that serves the subject's model, yield it when all of it is ready, stop it."""
    port = servers.free_port()
    environment = {"DARKROOM_LOCAL_APPENDFSYNC": appendfsync, "OMP_NUM_THREADS": "1"}
    up = ("up", "--detach", "--home", str(home), "--port", str(port), "--model", subject.name)
    try:
        darkroom(*up, environment=environment)
        status = orjson.loads(darkroom("status", "--json", "--home", str(home)))
        roles = status["roles"]
        client = redis.Redis.from_url(roles["redis"]["url"])
        try:
            yield Stack(
                port=port,
                subject=subject,
                roles={role: facts["pids"] for role, facts in roles.items()},
                redis=client,
                database_url=roles["postgres"]["url"],
            )
        finally:
            client.close()
    finally:
        darkroom("down", "--home", str(home))
