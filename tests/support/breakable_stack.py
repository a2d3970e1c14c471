"""A stack on a Redis and a Postgres that tests stop and kill, and pictures for its model."""

import os
import signal
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg2

from cli.stack.supervisor import state
from cli.stack.supervisor.state import Phase
from shared.queue import keys
from tests.support.api_client import body
from tests.support.processes import suspended
from tests.support.servers import append_only_file
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.servers import PostgresServer, RedisServer
    from tests.support.stack import Stack

LEASE_SECONDS = 3
LANE_DEPTH = 300
"""What one upload may have in its lane; the rest of it waits in the gateway."""
ENDED = ("succeeded", "failed", "canceled")
Json = dict[str, Any]


def picture(number: int) -> bytes:
    """Return the picture of a number below 16 million, as the model `pixels` reads it."""
    return colour(*number.to_bytes(3, "big"))


def colour(*rgb: int) -> bytes:
    """Return a 1×1 PNG."""
    return _png(zlib.compress(bytes((0, *rgb))))


def undecodable() -> bytes:
    """Return a PNG that is whole, checksums and all, but whose data inflates to nothing."""
    return _png(b"\x78\x9cno pixels" + os.urandom(8))


def _png(data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@dataclass(frozen=True)
class Row:
    """What Postgres has of a prediction."""

    status: str
    output: Any
    code: str | None
    attempts: int
    batch_size: int | None
    created_at: float
    completed_at: float


class Breakable:
    """A stack that serves `pixels` on a Redis and a Postgres of its own."""

    def __init__(
        self, stack: "Stack", redis_server: "RedisServer", postgres: "PostgresServer", directory: Path, *, registry: str
    ) -> None:
        self.stack = stack
        self.registry = registry
        self.redis_server = redis_server
        self.postgres = postgres
        self._directory = directory
        self.http = httpx.Client(base_url=stack.url, timeout=LIMIT, trust_env=False)
        self.redis = redis_server.client()

    @property
    def append_only_file(self) -> Path:
        """What Redis writes to now."""
        return append_only_file(self._directory)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        self.redis.close()

    def pids(self, role: str) -> list[int]:
        """Return the pids of a role's processes that run now."""
        found = state.running_stack(self.stack.home)
        assert found is not None
        return [program.process.pid for program in found.of_role(role) if program.process is not None]

    def kill(self, *pids: int) -> None:
        """End processes as a power cut would, and return when they are gone."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(psutil.pid_exists, pids)), what="they are gone")

    @contextmanager
    def stopped(self, role: str) -> Iterator[None]:
        """Pause a role's processes (SIGSTOP)."""
        with suspended(self.pids(role)):
            yield

    def wait_until_mended(self) -> None:
        """Return when every program is ready and nothing is left to do."""

        def mended() -> bool:
            found = state.running_stack(self.stack.home)
            return found is not None and all(p.phase is Phase.READY for p in found.programs)

        until(mended, what="every program is ready")
        until(lambda: not self.redis.xlen(keys.FINISHED), what="everything is recorded")

    def submit(self, image: bytes, **headers: str) -> str:
        """Submit an image and return its id."""
        answer = self.http.post("/v1/predictions", content=image, headers={"Content-Type": "image/png"} | headers)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["id"])

    def get(self, path: str, **request: Any) -> Json:
        """Return what is read there: a refusal fails the test with its reason."""
        return body(self.http.get(path, **request))

    def prediction(self, id: str) -> Json:
        """Return a prediction as it is now."""
        return self.get(f"/v1/predictions/{id}")

    def ended(self, id: str) -> Json:
        """Return a prediction once it has ended."""
        until(lambda: self.prediction(id)["status"] in ENDED, what=f"{id} has ended")
        return self.prediction(id)

    def rows(self, ids: Collection[str]) -> dict[str, Row]:
        """Return the rows there are for these ids."""
        query = (
            "SELECT id::text, status, output, error_code, attempts, batch_size, extract(epoch FROM created_at)::float8,"
            " extract(epoch FROM completed_at)::float8 FROM predictions WHERE id = ANY(%s::uuid[])"
        )
        with psycopg2.connect(self.postgres.url) as connection, connection.cursor() as cursor:
            cursor.execute(query, (list(ids),))
            found = {id: Row(*facts) for id, *facts in cursor.fetchall()}
        connection.close()
        return found

    def count_rows(self) -> int:
        """Return how many rows there are in all."""
        with psycopg2.connect(self.postgres.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM predictions")
            (count,) = cursor.fetchone() or (0,)
        connection.close()
        return int(count)

    def audit(self) -> None:
        """Run `darkroom audit`; fails where it finds anything."""
        self.stack.darkroom("audit")
