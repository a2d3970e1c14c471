"""The simulation of the queue's protocol finds no fault in the product's code, and finds those that are put into it."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from shared.queue import lua
from shared.queue.consumer.entries import Pull
from shared.queue.consumer.lanes import Lanes
from tests.simulation.conditions import CALM, CHAOS, DROUGHT, POISONED, Conditions
from tests.simulation.promises import Violation
from tests.simulation.world import World

FAULTS: dict[str, tuple[str, str, Conditions, int, int]] = {
    "cancel drops the entry": ("if redis.call('LLEN', waiting) == 1 then", "if true then", CHAOS, 0, 500),
    "claim many": ("    break\n", "", POISONED, 0, 150),
    "a kept image expires": ("    redis.call('PERSIST', kept)\n", "", CHAOS, 0, 500),
    "an image outlives its entry": ("  drop_images(lane, {...})\n", "", CHAOS, 0, 500),
    "a shadow answers twice": (
        "and redis.call('XPENDING', SHADOW, WORKERS, entry, entry, 1)[1] then",
        "then",
        CHAOS,
        85,
        500,
    ),
    "images are counted off too early": ("XLEN', lane) == 0 then", "XLEN', lane) == 1 then", CHAOS, 0, 500),
}
"""A script's text, the faulty text that an earlier version had, the conditions in which it shows, a seed that shows it,
and steps of a history.

Where the product has changed so that this seed shows it no more, later ones are played until one does: a second each,
where a test takes long another seed may be written here.
"""


@pytest.fixture
def simulate(redis_client: redis.Redis) -> Callable[..., tuple[int, int]]:
    """Play seeds for some seconds, and some histories at least; return how many histories and jobs there were."""

    def play(
        *, conditions: Conditions, seconds: float = 0.0, histories: int = 0, steps: int = 500, first: int = 0
    ) -> tuple[int, int]:
        end, seed, jobs = time.monotonic() + seconds, first, 0
        while time.monotonic() < end or seed < first + histories or jobs <= 100:  # a slow machine plays on
            try:
                jobs += World(redis_client, seed=seed, conditions=conditions, steps=steps).run()
            except Violation as violation:
                violation.add_note(f"seed {seed}, {conditions}")
                raise
            seed += 1
        return seed - first, jobs

    return play


@pytest.mark.parametrize("conditions", [CHAOS, DROUGHT, CALM, POISONED], ids=["chaos", "drought", "calm", "poisoned"])
def test_no_history_violates_an_invariant(
    simulate: Callable[..., tuple[int, int]], conditions: Conditions, simulation_seconds: float
) -> None:
    histories, jobs = simulate(conditions=conditions, seconds=simulation_seconds / 4)
    assert histories > 1
    assert jobs > 100


@pytest.fixture
def break_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Put faulty text in place of `sound` in every script that has it."""
    original = lua.source.__wrapped__

    def put_back(sound: str, broken: str) -> None:
        assert any(sound in original(script) for script in lua.Script)
        holed = functools.cache(lambda script: original(script).replace(sound, broken))
        monkeypatch.setattr(lua, "source", holed)
        monkeypatch.setattr("tests.simulation.world.source", holed)
        lua.sha.cache_clear()

    yield put_back
    monkeypatch.undo()
    lua.sha.cache_clear()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_known_fault_is_found(
    simulate: Callable[..., tuple[int, int]], break_script: Callable[[str, str], None], fault: str
) -> None:
    sound, broken, conditions, seed, steps = FAULTS[fault]
    break_script(sound, broken)
    with pytest.raises(Violation):
        simulate(conditions=conditions, histories=200, steps=steps, first=seed)


def test_a_late_result_does_not_bring_back_a_job_that_was_recorded_and_evicted(redis_client: redis.Redis) -> None:
    World(redis_client, seed=1, conditions=CHAOS).late_result()


def test_treating_a_missing_job_as_live_is_found(
    redis_client: redis.Redis, break_script: Callable[[str, str], None]
) -> None:
    break_script(
        "if not job[1] or TERMINAL[job[1]] then return false end",
        "if job[1] and TERMINAL[job[1]] then return false end "
        "for i, none in ipairs({'', 'x', '', '{}', now}) do job[i] = job[i] or none end",
    )
    with pytest.raises(Violation, match="two records"):
        World(redis_client, seed=1, conditions=CHAOS).late_result()


def test_ringing_only_after_full_batches_is_found(
    simulate: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A micro-batch that is kept small for interactive images is never full, so no other worker would be woken."""
    pull = Lanes.pull

    def see_only_size(lanes: Lanes, limit: int, **options: Any) -> Pull:
        found = pull(lanes, limit, **options | {"beside": 2})
        return Pull(found.entries, lanes_empty=len(found.entries) < limit)

    monkeypatch.setattr(Lanes, "pull", see_only_size)
    with pytest.raises(Violation, match="nobody was called"):
        simulate(conditions=CALM, seconds=60, steps=60)  # the fault shows when work runs out, so have that happen often
