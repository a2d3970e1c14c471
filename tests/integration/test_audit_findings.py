"""Every way of breaking an invariant is found and reported by its name."""

from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import text

from shared.domain.identifiers import ANYONE
from shared.queue import keys
from tests.support.queue_system import LANE, MODEL, OUTPUT, System


def entry_of(system: System, id: str) -> str:
    return system.client.hget(f"job:{id}", "entry").decode()


def list_of(system: System, id: str) -> str:
    return system.client.hget(f"job:{id}", "waiting").decode()


def lose_wait_list(system: System, id: str) -> str:
    system.client.delete(list_of(system, id))
    return f"job {id}: its wait list is gone"


def forget_in_wait_list(system: System, id: str) -> str:
    system.client.lrem(list_of(system, id), 0, id)
    return f"job {id}: its wait list does not name it"


def lose_entry(system: System, id: str) -> str:
    system.client.xdel(LANE, entry_of(system, id))
    return f"job {id}: its entry is not in its lane"


def lose_entry_seen_from_its_list(system: System, id: str) -> str:
    system.client.xdel(LANE, entry_of(system, id))
    return f"wait list {list_of(system, id)}: its entry is gone"


def lose_an_image(system: System, id: str) -> str:
    entry = entry_of(system, id)
    fields = dict(system.client.xrange(LANE, entry, entry)[0][1])
    later = system.client.xadd(LANE, {name: value for name, value in fields.items() if name != b"image"})
    system.client.xdel(LANE, entry)
    system.client.lset(list_of(system, id), 0, later)
    system.client.hset(f"job:{id}", "entry", later)
    return f"job {id}: its image is gone"


def keep_an_image(system: System, id: str) -> str:
    image = keys.image(LANE, entry_of(system, id))
    system.cancel(id)
    system.client.set(image, b"image")
    return f"{image}: its entry is gone"


def remove_a_consumer_with_work(system: System, id: str) -> str:
    system.lanes.pull(64)
    system.client.xgroup_delconsumer(LANE, keys.WORKERS, "w")
    return f"job {id}: its entry was read and is pending with nobody"


def remove_a_consumer_seen_from_the_lane(system: System, id: str) -> str:
    remove_a_consumer_with_work(system, id)
    return f"{LANE}: entry {entry_of(system, id)} was read and is pending with nobody"


def end_without_a_record(system: System, id: str) -> str:
    system.cancel(id)
    system.client.delete(keys.FINISHED)
    return f"job {id}: it ended and is neither in the finished stream nor recorded"


def expire_without_a_row(system: System, id: str) -> str:
    system.cancel(id)
    system.client.expire(f"job:{id}", 100)
    return f"job {id}: it ended and expires without having been recorded"


def strand_a_record(system: System, id: str) -> str:
    system.cancel(id)
    entry = system.recorder._read()[0].entry
    system.client.xgroup_delconsumer(keys.FINISHED, keys.RECORDERS, "r")
    return f"finished: entry {entry.decode()} was read and is pending with nobody"


def revive(system: System, id: str) -> str:
    system.cancel(id)
    system.recorder.run_once()
    system.client.hset(f"job:{id}", "state", "processing")
    return f"job {id}: it is processing and recorded as canceled"


def end_otherwise_than_recorded(system: System, id: str) -> str:
    system.cancel(id)
    system.recorder.run_once()
    system.client.hset(f"job:{id}", "state", "failed")
    return f"job {id}: it is failed and recorded as canceled"


def change_an_output(system: System, id: str) -> str:
    system.compute()
    system.recorder.run_once()
    system.client.hset(f"job:{id}", "output", OUTPUT.replace(b'"7"', b'"8"'))
    return f"job {id}: its output and the recorded one differ"


def stay_in_flight(system: System, id: str) -> str:
    system.cancel(id)
    system.client.zadd(keys.inflight(ANYONE), {id: 1})
    return f"job {id}: it is in flight for default although it ended"


def be_evicted_while_in_flight(system: System, id: str) -> str:
    system.client.delete(f"job:{id}")
    return f"job {id}: it is in flight for default although it ended"


def give_a_bulk_lane_no_turn(system: System, _: str) -> str:
    system.submit(b"bulk", lane="bulk:b1")
    system.client.delete(keys.rotation(MODEL))
    return "lane:digits:bulk:b1: it has entries and no turn among the bulk lanes"


def lose_a_delivery(system: System, id: str) -> str:
    request = orjson.loads(system.client.hget(f"job:{id}", "request"))
    webhook = {"url": "https://a.example", "events": ["completed"]}
    system.client.hset(f"job:{id}", "request", orjson.dumps(request | {"webhook": webhook}))
    system.cancel(id)
    system.recorder.run_once()
    with system.engine.begin() as connection:
        assert connection.execute(text("DELETE FROM webhook_deliveries")).rowcount == 1
    return f"prediction {id}: it has ended, wants its webhook called, and has no delivery"


BREAKAGES = [
    lose_wait_list, forget_in_wait_list, lose_entry, lose_entry_seen_from_its_list, lose_an_image, keep_an_image,
    remove_a_consumer_with_work, remove_a_consumer_seen_from_the_lane, end_without_a_record, expire_without_a_row,
    strand_a_record, revive, end_otherwise_than_recorded, change_an_output, stay_in_flight,
    be_evicted_while_in_flight, give_a_bulk_lane_no_turn, lose_a_delivery,
]  # fmt: skip


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
def test_a_broken_invariant_is_found_and_named(
    system: System, monkeypatch: pytest.MonkeyPatch, breakage: Callable[[System, str], str]
) -> None:
    monkeypatch.setattr("cli.audit.invariants.PAUSE", timedelta(milliseconds=10))
    monkeypatch.setattr("cli.audit.invariants.LANE_PAUSE", timedelta(milliseconds=10))
    broken, healthy = system.submit(b"broken"), system.submit(b"healthy")
    assert system.audit() == []
    expected = breakage(system, broken)
    findings = system.audit()
    assert expected in findings
    if breakage not in (remove_a_consumer_with_work, remove_a_consumer_seen_from_the_lane):  # which had both
        assert not any(healthy in finding for finding in findings)
