"""What a purge deletes in Redis does not come back by work that was under way."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import ANYONE
from shared.queue import keys, purge_marks
from shared.queue.consumer.entries import Entry, Result
from shared.queue.upkeep.owned import Owned
from tests.support.queue_system import OUTPUT, System, submit

Purge = Callable[[System], None]


def cached(client: redis.Redis) -> list[bytes]:
    return list(client.scan_iter(f"{keys.cache_prefix()}*"))


def begun(system: System) -> list[Entry]:
    """Let a worker compute one image."""
    submit(system, 1)
    return system.lanes.begin(system.lanes.pull(1).entries)


def finish(system: System, entries: list[Entry]) -> None:
    results = [Result(entry, "succeeded", OUTPUT) for entry in entries]
    system.lanes.finish(results, run=b'{"batch_size":1,"predict_ms":1.0,"worker":"w"}')


def under_way(system: System) -> None:
    purge_marks.mark(system.client, ANYONE)
    owned = Owned(system.client, ANYONE)
    assert sum(owned.cancel_all()) == 1
    sum(owned.delete_all())


def over(system: System) -> None:
    under_way(system)
    purge_marks.unmark(system.client, ANYONE)


@pytest.mark.parametrize("purge", [under_way, over])
def test_an_output_that_was_being_computed_is_not_cached(system: System, purge: Purge) -> None:
    entries = begun(system)
    purge(system)
    finish(system, entries)
    assert cached(system.client) == []


def test_what_its_owner_submits_after_the_purge_is_cached(system: System) -> None:
    begun(system)
    over(system)
    long_before = -timedelta(minutes=1) // timedelta(microseconds=1)
    for digest in system.client.zrange(keys.PURGED, 0, -1):
        system.client.zincrby(keys.PURGED, long_before, digest)
    entries = begun(system)
    for id in system.client.zrange(keys.inflight(ANYONE), 0, -1):
        system.cancel(id.decode())
    finish(system, entries)
    assert len(cached(system.client)) == 1


def test_an_output_whose_client_canceled_is_cached_for_the_next_one(system: System) -> None:
    entries = begun(system)
    [id] = system.client.zrange(keys.inflight(ANYONE), 0, -1)
    system.cancel(id.decode())
    finish(system, entries)
    assert len(cached(system.client)) == 1
