"""A model without workers: its waiting jobs fail after a while and its route goes; both return with a worker."""

import time
from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from shared.queue import keys, model_routes
from shared.queue.consumer.entries import Result
from tests.support.queue_system import BULK, LANE, MODEL, OUTPUT, System, jobs, submit
from worker.upkeep.unserved_models import LEFT_AFTER, REMEMBERED, UnservedModels

PATIENCE = timedelta(milliseconds=60)
VERSION = Version(number=VersionNumber("3"), key=VersionKey("3-m-1"), created_at="")
ROUTE = Route(model=MODEL, description="", aliases={"champion": VERSION.number}, versions={VERSION.number: VERSION})
GIVEN_UP = ("failed", "model_unavailable", "no worker has served this model for 0.06 s")


@pytest.fixture
def unserved(system: System) -> UnservedModels:
    model_routes.publish(system.client, ROUTE)
    return UnservedModels(system.client, patience=PATIENCE)


def silence(client: redis.Redis) -> None:
    """The workers' last sign of life is long ago."""
    for member in client.zrange(keys.workers(MODEL), 0, -1):
        client.zadd(keys.workers(MODEL), {member: 1})


def give_up(unserved: UnservedModels) -> int:
    """Sweep as often as it takes to lose patience, and return how many jobs ended."""
    unserved.sweep()
    time.sleep(PATIENCE.total_seconds())
    return unserved.sweep()


def ends(system: System, ids: list[str]) -> list[tuple[str, ...]]:
    return jobs(system.client, ids, "state", "code", "error")


def test_what_waits_for_a_model_that_nobody_serves_fails_after_a_while(
    system: System, unserved: UnservedModels
) -> None:
    waiting = [*submit(system, 3), system.submit(b"interactive 0"), *submit(system, 2, lane=BULK[0])]
    assert unserved.sweep() == 0
    assert {state for (state,) in jobs(system.client, waiting, "state")} == {"starting"}
    assert give_up(unserved) == len(waiting)
    assert ends(system, waiting) == [GIVEN_UP] * len(waiting)
    assert (system.client.xlen(LANE), unserved.sweep()) == (0, 0)
    while system.recorder.run_once():
        pass
    assert system.audit() == []


def test_while_a_worker_serves_it_nothing_fails_however_long_it_waits(system: System, unserved: UnservedModels) -> None:
    [id] = submit(system, 1)
    unserved.sweep()
    system.lanes.sign_of_life()
    assert give_up(unserved) == give_up(unserved) == 0
    assert (system.compute(), jobs(system.client, [id], "state")) == (1, [("succeeded",)])
    assert model_routes.names(system.client) == [MODEL]


def test_a_worker_that_comes_back_begins_the_count_anew(system: System, unserved: UnservedModels) -> None:
    submit(system, 1)
    unserved.sweep()
    time.sleep(PATIENCE.total_seconds())
    system.lanes.sign_of_life()
    assert unserved.sweep() == 0
    silence(system.client)
    assert unserved.sweep() == 0
    assert give_up(unserved) == 1


def test_an_image_waits_its_own_while_even_for_a_model_that_is_long_gone(
    system: System, unserved: UnservedModels
) -> None:
    give_up(unserved)
    submit(system, 1)  # a gateway's copy of the routes is a second old
    assert (unserved.sweep(), give_up(unserved)) == (0, 1)


def test_where_no_sweep_comes_nobody_knows_and_the_count_begins_anew(system: System, unserved: UnservedModels) -> None:
    """A stack that was stopped overnight must not fail in the morning what its workers are about to compute."""
    submit(system, 1)
    unserved.sweep()
    ttl = timedelta(milliseconds=system.client.pttl(keys.unserved(MODEL)))
    assert timedelta(0) < ttl <= REMEMBERED
    system.client.delete(keys.unserved(MODEL))  # as it goes when its time is over
    time.sleep(PATIENCE.total_seconds())
    assert unserved.sweep() == 0


def test_a_worker_that_had_pulled_and_comes_back_computes_nothing_that_has_failed(
    system: System, unserved: UnservedModels
) -> None:
    pulled, begun = submit(system, 2)
    entries = system.lanes.pull(8).entries
    system.lanes.begin(entries[1:])
    assert give_up(unserved) == 2
    assert system.lanes.begin(entries[:1]) == []
    assert system.lanes.finish([Result(entries[1], "succeeded", OUTPUT)], run=b"{}") == 0
    assert ends(system, [pulled, begun]) == [GIVEN_UP] * 2
    system.lanes.renew(entries)
    assert system.client.xpending(LANE, keys.WORKERS)["pending"] == 0


def test_two_sweeps_at_once_end_each_job_once(system: System, unserved: UnservedModels) -> None:
    submit(system, 3)
    other = UnservedModels(system.client, patience=PATIENCE)
    assert give_up(unserved) + other.sweep() == 3
    assert system.client.xlen(keys.FINISHED) == 3


def test_its_route_goes_and_a_worker_brings_it_back(system: System, unserved: UnservedModels) -> None:
    give_up(unserved)
    assert (model_routes.names(system.client), model_routes.is_published(system.client, MODEL)) == ([], False)
    model_routes.publish(system.client, ROUTE)
    assert (model_routes.names(system.client), model_routes.leaving(system.client)) == ([MODEL], {})


def test_a_withdrawn_name_is_looked_after_until_nothing_waits_for_it_and_then_forgotten(
    system: System, unserved: UnservedModels
) -> None:
    submit(system, 1)
    model_routes.withdraw(system.client, MODEL)
    long_ago = model_routes.leaving(system.client)[MODEL] - 2 * LEFT_AFTER // timedelta(microseconds=1)
    system.client.zadd(keys.LEAVING, {MODEL: long_ago})
    unserved.sweep()
    assert MODEL in model_routes.leaving(system.client)
    assert give_up(unserved) == 1
    assert model_routes.leaving(system.client) == {}


def test_a_retired_name_gets_no_route_until_it_is_restored(system: System) -> None:
    model_routes.publish(system.client, ROUTE)
    for _ in range(2):
        model_routes.retire(system.client, MODEL)
    assert (model_routes.publish(system.client, ROUTE), model_routes.names(system.client)) == (False, [])
    assert model_routes.retired(system.client) == [MODEL]
    assert (model_routes.restore(system.client, MODEL), model_routes.restore(system.client, MODEL)) == (True, False)
    assert (model_routes.publish(system.client, ROUTE), model_routes.names(system.client)) == (True, [MODEL])


def test_what_waited_when_a_name_was_retired_is_computed_by_who_has_it_loaded(
    system: System, unserved: UnservedModels
) -> None:
    [id] = submit(system, 1)
    model_routes.retire(system.client, MODEL)
    system.lanes.sign_of_life()
    assert give_up(unserved) == 0
    assert (system.compute(), jobs(system.client, [id], "state")) == (1, [("succeeded",)])


def test_deep_lanes_end_in_steps(system: System, unserved: UnservedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.upkeep.unserved_models.ENTRIES_AT_ONCE", 2)
    monkeypatch.setattr("worker.upkeep.unserved_models.CALLS_A_SWEEP", 3)
    submit(system, 5)
    submit(system, 4, lane=BULK[0])
    ended = [give_up(unserved), unserved.sweep(), unserved.sweep(), unserved.sweep()]
    assert (sum(ended), max(ended) < 9) == (9, True)
