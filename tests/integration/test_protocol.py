"""The protocol, played by a random scheduler over the product's own code, and the holes it must find."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from shared.queue import lua
from shared.queue.lanes import Entry, Lanes
from tests.simulation.world import CALM, CHAOS, POISONED, Violation, Weather, World

HOLES: dict[str, tuple[lua.Script | None, str, str, Weather]] = {
    "missing is live": (
        None,
        "if not job[1] or TERMINAL[job[1]] then return false end",
        "if job[1] and TERMINAL[job[1]] then return false end job[2] = job[2] or 'x' job[3] = job[3] or ''"
        " job[4] = job[4] or '{}' job[5] = job[5] or now",
        CHAOS,
    ),
    "cancel drops the entry": (
        lua.Script.CANCEL,
        "if redis.call('LLEN', job[4]) == 1 then",
        "if true then",
        CHAOS,
    ),
    "claim many": (lua.Script.RECLAIM, "    break\n", "", POISONED),
}
"""Where, what it says, what an earlier wording said, and the weather in which it shows."""


@pytest.fixture
def simulate(redis_client: redis.Redis) -> Iterator[Callable[..., tuple[int, int]]]:
    """Play seeds for some seconds; returns how many histories and jobs there were."""

    def play(*, weather: Weather, seconds: float, steps: int = 500) -> tuple[int, int]:
        end, seed, jobs = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            try:
                jobs += World(redis_client, seed=seed, weather=weather, steps=steps).run()
            except Violation as violation:
                violation.add_note(f"seed {seed}, {weather}")
                raise
            seed += 1
        return seed, jobs

    yield play
    lua.source.cache_clear()
    lua.sha.cache_clear()


@pytest.mark.parametrize("weather", [CHAOS, CALM, POISONED], ids=["chaos", "calm", "poisoned"])
def test_no_history_breaks_a_promise(
    simulate: Callable[..., tuple[int, int]], weather: Weather, simulation_seconds: float
) -> None:
    histories, jobs = simulate(weather=weather, seconds=simulation_seconds / 3)
    assert histories > 1
    assert jobs > 100


@pytest.mark.parametrize("hole", HOLES)
def test_a_known_hole_is_found(
    simulate: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch, hole: str
) -> None:
    where, sound, broken, weather = HOLES[hole]
    original = lua.source.__wrapped__

    def holed(script: lua.Script) -> str:
        text = original(script)
        if where in (None, script):
            assert sound in text
            text = text.replace(sound, broken)
        return text

    monkeypatch.setattr(lua, "source", holed)
    monkeypatch.setattr("tests.simulation.world.source", holed)
    lua.sha.cache_clear()
    with pytest.raises(Violation):
        simulate(weather=weather, seconds=60)


def test_ringing_only_after_full_batches_is_found(
    simulate: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspect runs alone, so its batch is never full: the line stops behind it."""
    reclaim, ring, suspects = Lanes.reclaim, Lanes.ring, set()

    def remember(lanes: Lanes) -> Entry | None:
        suspect = reclaim(lanes)
        if suspect is not None:
            suspects.add(id(lanes))
        return suspect

    def ring_if_full(lanes: Lanes) -> None:
        if id(lanes) not in suspects:
            ring(lanes)

    monkeypatch.setattr(Lanes, "reclaim", remember)
    monkeypatch.setattr(Lanes, "ring", ring_if_full)
    with pytest.raises(Violation, match="nobody was called"):
        simulate(weather=CALM, seconds=60, steps=60)  # it shows when work runs out, so let it often
