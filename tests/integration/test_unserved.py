"""A model without workers: its waiting jobs fail after a while and its route is withdrawn, until a worker returns."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from shared.queue import keys, model_routes
from shared.queue.consumer.entries import Result
from shared.settings import Queue
from tests.support.queue_system import BULK, LANE, MODEL, OUTPUT, System, jobs, submit
from worker.upkeep.unserved_models import LEFT_AFTER, REMEMBERED, UnservedModels

PATIENCE = timedelta(milliseconds=60)
VERSION = Version(number=VersionNumber("3"), key=VersionKey("3-m-1"), created_at="")
ROUTE = Route(model=MODEL, description="", aliases={"champion": VERSION.number}, versions={VERSION.number: VERSION})
GIVEN_UP = ("failed", "model_unavailable", "no worker has served this model for 0.06 s")


@pytest.fixture
def unserved(system: System) -> UnservedModels:
    model_routes.publish(system.client, ROUTE)
    return UnservedModels(system.client, settings=Queue(model_patience=PATIENCE))


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


def test_jobs_of_a_model_without_workers_fail_after_a_while(system: System, unserved: UnservedModels) -> None:
    waiting = [*submit(system, 3), system.submit(b"interactive 0"), *submit(system, 2, lane=BULK[0])]
    assert unserved.sweep() == 0
    assert {state for (state,) in jobs(system.client, waiting, "state")} == {"starting"}
    assert give_up(unserved) == len(waiting)
    assert ends(system, waiting) == [GIVEN_UP] * len(waiting)
    assert (system.client.xlen(LANE), unserved.sweep()) == (0, 0)
    while system.recorder.run_once():
        pass
    assert system.audit() == []


def test_no_job_fails_while_a_worker_serves_its_model(system: System, unserved: UnservedModels) -> None:
    [id] = submit(system, 1)
    unserved.sweep()
    system.lanes.sign_of_life()
    assert give_up(unserved) == give_up(unserved) == 0
    assert (system.compute(), jobs(system.client, [id], "state")) == (1, [("succeeded",)])
    assert model_routes.names(system.client) == [MODEL]


def test_a_returning_worker_restarts_the_waiting_time(system: System, unserved: UnservedModels) -> None:
    submit(system, 1)
    unserved.sweep()
    time.sleep(PATIENCE.total_seconds())
    system.lanes.sign_of_life()
    assert unserved.sweep() == 0
    silence(system.client)
    assert unserved.sweep() == 0
    assert give_up(unserved) == 1


def test_a_new_image_waits_its_full_time_even_for_a_long_unserved_model(
    system: System, unserved: UnservedModels
) -> None:
    give_up(unserved)
    submit(system, 1)  # a gateway's copy of the routes is a second old
    assert (unserved.sweep(), give_up(unserved)) == (0, 1)


def test_the_waiting_time_restarts_after_a_gap_between_sweeps(system: System, unserved: UnservedModels) -> None:
    """A stack that was stopped overnight must not fail in the morning what its workers are about to compute."""
    submit(system, 1)
    unserved.sweep()
    ttl = timedelta(milliseconds=system.client.pttl(keys.unserved(MODEL)))
    assert timedelta(0) < ttl <= REMEMBERED
    system.client.delete(keys.unserved(MODEL))  # as when its TTL ends
    time.sleep(PATIENCE.total_seconds())
    assert unserved.sweep() == 0


def test_a_returning_worker_does_not_compute_jobs_that_have_failed(system: System, unserved: UnservedModels) -> None:
    pulled, begun = submit(system, 2)
    entries = system.lanes.pull(8).entries
    system.lanes.begin(entries[1:])
    assert give_up(unserved) == 2
    assert system.lanes.begin(entries[:1]) == []
    assert system.lanes.finish([Result(entries[1], "succeeded", OUTPUT)], run=b"{}") == 0
    assert ends(system, [pulled, begun]) == [GIVEN_UP] * 2
    system.lanes.renew(entries)
    assert system.client.xpending(LANE, keys.WORKERS)["pending"] == 0


def test_concurrent_sweeps_end_each_job_once(system: System, unserved: UnservedModels) -> None:
    submit(system, 3)
    other = UnservedModels(system.client, settings=Queue(model_patience=PATIENCE))
    assert give_up(unserved) + other.sweep() == 3
    assert system.client.xlen(keys.FINISHED) == 3


def test_an_unserved_models_route_is_withdrawn_until_a_worker_returns(system: System, unserved: UnservedModels) -> None:
    give_up(unserved)
    assert (model_routes.names(system.client), model_routes.is_published(system.client, MODEL)) == ([], False)
    model_routes.publish(system.client, ROUTE)
    assert (model_routes.names(system.client), model_routes.leaving(system.client)) == ([MODEL], {})


def test_the_route_of_a_worker_that_comes_back_meanwhile_is_not_withdrawn(
    system: System, unserved: UnservedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`darkroom up` has said that it serves; its first requests would be answered with 404."""
    monkeypatch.setattr(UnservedModels, "_give_up", lambda *_: (timedelta(days=1), 0))
    unserved._give_up_lane(MODEL, LANE, PATIENCE)  # since now no worker serves it
    time.sleep(PATIENCE.total_seconds())
    model_routes.publish(system.client, ROUTE)  # a worker comes back, which is not registered yet
    unserved.sweep()
    assert model_routes.names(system.client) == [MODEL]
    system.lanes.sign_of_life()
    unserved.sweep()
    assert model_routes.names(system.client) == [MODEL]


def test_a_route_is_withdrawn_unless_another_was_published_meanwhile(system: System, unserved: UnservedModels) -> None:  # noqa: ARG001  it publishes one
    before = model_routes.digest(system.client, MODEL)
    model_routes.publish(system.client, replace(ROUTE, description="registered again"))
    assert not model_routes.withdraw(system.client, MODEL, over=before)
    assert model_routes.names(system.client) == [MODEL]
    assert model_routes.withdraw(system.client, MODEL, over=model_routes.digest(system.client, MODEL))
    assert model_routes.names(system.client) == []


def test_a_withdrawn_model_is_swept_until_nothing_waits_for_it(system: System, unserved: UnservedModels) -> None:
    submit(system, 1)
    model_routes.withdraw(system.client, MODEL)
    long_ago = model_routes.leaving(system.client)[MODEL] - 2 * LEFT_AFTER // timedelta(microseconds=1)
    system.client.zadd(keys.LEAVING, {MODEL: long_ago})
    unserved.sweep()
    assert MODEL in model_routes.leaving(system.client)
    assert give_up(unserved) == 1
    assert model_routes.leaving(system.client) == {}


def test_a_retired_model_gets_no_route_until_it_is_restored(system: System) -> None:
    model_routes.publish(system.client, ROUTE)
    for _ in range(2):
        model_routes.retire(system.client, MODEL)
    assert (model_routes.publish(system.client, ROUTE), model_routes.names(system.client)) == (False, [])
    assert model_routes.retired(system.client) == [MODEL]
    assert (model_routes.restore(system.client, MODEL), model_routes.restore(system.client, MODEL)) == (True, False)
    assert (model_routes.publish(system.client, ROUTE), model_routes.names(system.client)) == (True, [MODEL])


def test_jobs_waiting_at_a_retirement_are_computed_by_loaded_workers(system: System, unserved: UnservedModels) -> None:
    [id] = submit(system, 1)
    model_routes.retire(system.client, MODEL)
    system.lanes.sign_of_life()
    assert give_up(unserved) == 0
    assert (system.compute(), jobs(system.client, [id], "state")) == (1, [("succeeded",)])


def test_deep_lanes_are_failed_in_steps(
    system: System, unserved: UnservedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.upkeep.unserved_models.ENTRIES_AT_ONCE", 2)
    monkeypatch.setattr("worker.upkeep.unserved_models.CALLS_A_SWEEP", 3)
    submit(system, 5)
    submit(system, 4, lane=BULK[0])
    ended = [give_up(unserved), unserved.sweep(), unserved.sweep(), unserved.sweep()]
    assert (sum(ended), max(ended) < 9) == (9, True)
