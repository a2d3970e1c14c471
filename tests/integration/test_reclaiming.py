"""Entries of dead workers are reclaimed; full wait lists are renamed."""

import time

import redis

from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.leases import end_leases
from tests.support.queue_system import BULK, LANE, MODEL, OUTPUT, System, images, jobs, submit

# Entries of dead workers


def test_nothing_is_reclaimed_within_its_lease(system: System) -> None:
    submit(system, 3)
    system.lanes.pull(8)
    patient = Lanes(system.client, model=MODEL, consumer="other", settings=Queue())
    assert not patient.has_suspects()
    assert patient.reclaim() is None


def test_the_dead_workers_entries_are_reclaimed_one_at_a_time(
    system: System, other: Lanes, redis_client: redis.Redis
) -> None:
    submit(system, 2)
    submit(system, 1, lane=BULK[0])
    system.lanes.pull(8)
    end_leases(system.client)
    found = []
    for taken in range(1, 4):
        assert other.has_suspects()
        suspect = other.reclaim()
        assert suspect is not None
        found.append(suspect)
        pending = [
            one
            for lane in (LANE, keys.lane(MODEL, BULK[0]))
            for one in redis_client.xpending_range(lane, keys.WORKERS, "-", "+", 9)
        ]
        assert sorted(one["times_delivered"] for one in pending) == [1] * (3 - taken) + [2] * taken
    assert images(found) == ["interactive 0", "interactive 1", f"{BULK[0]} 0"]
    assert [entry.attempts for entry in found] == [2, 2, 2]
    assert not other.has_suspects()
    assert other.reclaim() is None


def test_after_max_attempts_the_jobs_of_an_entry_fail_with_worker_lost(
    system: System, other: Lanes, redis_client: redis.Redis
) -> None:
    doomed = [system.submit(b"poison"), system.submit(b"poison")]
    innocent = system.submit(b"innocent")
    system.lanes.begin(system.lanes.pull(8).entries)
    for attempt in (2, 3):
        end_leases(system.client)
        suspect = other.reclaim()
        assert suspect is not None
        assert (suspect.image, suspect.attempts) == (b"poison", attempt)
    end_leases(system.client)
    last = other.reclaim()
    assert last is not None
    assert (last.image, last.attempts) == (b"innocent", 2)
    assert jobs(redis_client, doomed, "state", "code", "attempts") == [("failed", "worker_lost", "3")] * 2
    assert other.finish([Result(last, "succeeded", OUTPUT)], run=b"{}") == 1
    assert jobs(redis_client, [innocent], "state", "attempts") == [("succeeded", "2")]
    assert (redis_client.xlen(LANE), redis_client.xpending(LANE, keys.WORKERS)["pending"]) == (0, 0)
    while system.recorder.run_once():
        pass
    assert system.audit() == []


def test_a_pending_entry_that_no_longer_exists_is_acknowledged(
    system: System, other: Lanes, redis_client: redis.Redis
) -> None:
    submit(system, 1)
    (entry,) = system.lanes.pull(8).entries
    redis_client.xdel(LANE, entry.id)
    end_leases(system.client)
    assert other.reclaim() is None
    assert redis_client.xpending(LANE, keys.WORKERS)["pending"] == 0


def test_a_renewed_entry_is_not_reclaimed(system: System, other: Lanes) -> None:
    submit(system, 2)
    first, second = system.lanes.pull(8).entries
    end_leases(system.client)
    system.lanes.renew([first])
    suspect = other.reclaim()
    assert suspect is not None
    assert suspect.id == second.id
    assert other.reclaim() is None


def test_renewing_a_reclaimed_entry_does_not_take_it_back(
    system: System, other: Lanes, redis_client: redis.Redis
) -> None:
    submit(system, 1)
    entries = system.lanes.pull(8).entries
    end_leases(system.client)
    assert other.reclaim() is not None
    time.sleep(0.02)
    system.lanes.renew(entries)
    (pending,) = redis_client.xpending_range(LANE, keys.WORKERS, "-", "+", 9)
    assert pending["consumer"] == b"other"
    assert pending["time_since_delivered"] >= 20
    assert pending["times_delivered"] == 2
    # Who finishes first counts; the other's result changes nothing.
    assert system.lanes.finish([Result(entries[0], "succeeded", OUTPUT)], run=b"{}") == 1
    assert other.finish([Result(entries[0], "failed", error="late", code="model_error")], run=b"{}") == 0
    system.lanes.renew(entries)


def test_what_is_handed_back_is_another_workers_at_once_and_that_was_no_attempt(
    system: System, redis_client: redis.Redis
) -> None:
    patient = Lanes(system.client, model=MODEL, consumer="patient", settings=Queue())
    other = Lanes(system.client, model=MODEL, consumer="other", settings=Queue())
    submit(system, 2)
    first, second = patient.pull(8).entries
    redis_client.delete(keys.bell(MODEL))
    for _ in range(2):  # repeated after a lost answer
        patient.hand_back([first])
        assert redis_client.exists(keys.bell(MODEL)), "nobody would look for it before the next tick"
    suspect = other.reclaim()
    assert suspect is not None
    assert (suspect.id, suspect.attempts) == (first.id, 1)
    assert other.reclaim() is None, f"{second.id} was not handed back"
    patient.hand_back([first])
    assert patient.reclaim() is None, "it is the other worker's"
    other.hand_back([suspect])
    again = patient.reclaim()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 1)


# Wait lists


def test_one_computation_serves_all_waiting_jobs(system: System, redis_client: redis.Redis) -> None:
    ids = [system.submit(b"same") for _ in range(5)]
    assert system.compute() == 5
    assert jobs(redis_client, ids, "state", "source", "output") == [
        ("succeeded", source, OUTPUT.decode()) for source in ("model", *["coalesced"] * 4)
    ]


def test_a_full_wait_list_is_renamed_and_a_new_computation_starts(system: System, redis_client: redis.Redis) -> None:
    ids = [system.submit(b"same", waiters=3) for _ in range(8)]
    assert redis_client.xlen(LANE) == 3
    lists = sorted(redis_client.llen(key) for key in redis_client.keys("waiting:*"))
    assert lists == [1 + 2, 1 + 3, 1 + 3]
    assert system.audit() == []
    entries = system.lanes.begin(system.lanes.pull(8).entries)
    assert len(entries) == 3
    ended = [system.lanes.finish([Result(entry, "succeeded", OUTPUT)], run=b"{}") for entry in entries]
    assert ended == [3, 3, 2]
    assert {state for (state,) in jobs(redis_client, ids, "state")} == {"succeeded"}
    assert redis_client.keys("waiting:*") == []


def test_a_job_on_a_renamed_wait_list_can_still_be_canceled_alone(system: System, redis_client: redis.Redis) -> None:
    ids = [system.submit(b"same", waiters=2) for _ in range(5)]
    for id in ids[:2]:
        system.cancel(id)
    assert redis_client.xlen(LANE) == 2  # nobody is left on the first list: its computation is gone
    assert system.compute() == 3
    assert [state for (state,) in jobs(redis_client, ids, "state")] == ["canceled"] * 2 + ["succeeded"] * 3
    assert system.lanes.begin(system.lanes.pull(8).entries) == []


def test_a_computation_whose_jobs_were_all_canceled_does_not_start(system: System, redis_client: redis.Redis) -> None:
    ids = submit(system, 2)
    entries = system.lanes.pull(8).entries
    system.cancel(ids[0])
    assert images(system.lanes.begin(entries)) == ["interactive 1"]
    assert redis_client.xpending(LANE, keys.WORKERS)["pending"] == 1


def test_a_worker_registers_and_unregisters(system: System, redis_client: redis.Redis) -> None:
    system.lanes.sign_of_life()
    assert redis_client.zrange(keys.workers(MODEL), 0, -1) == [b"w"]
    system.lanes.leave()
    assert not redis_client.exists(keys.workers(MODEL))
