"""How many images a second a step does, on a GPU or on the CPU."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch

_WARM_UP: Final = 3
_UNSYNCHRONISED: Final = 4
"""Calls between two waits for the device: waiting after each would leave it idle in between."""


def images_per_second(step: Callable[[], Any], *, images: int, seconds: float) -> float:
    """Return how many images a second `step` does when called again and again, `images` in a call."""
    for _ in range(_WARM_UP):
        step()
    synchronise()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        calls += 1
        if calls % _UNSYNCHRONISED == 0:
            synchronise()
    synchronise()
    return calls * images / (time.perf_counter() - started)


def threads_images_per_second(step: Callable[[int], int], *, threads: int, seconds: float) -> float:
    """Return the same of a step that several threads call at once, with their number; it returns its images."""

    def work(number: int, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            done += step(number)
        return done

    def run(longest: float) -> float:
        started = time.perf_counter()
        done = sum(pool.map(work, range(threads), [started + longest] * threads))
        return done / (time.perf_counter() - started)

    for number in range(threads):
        step(number)
    with ThreadPoolExecutor(threads) as pool:
        # All at once before it counts: each stream first takes memory of its own, which cost the first figure a third.
        run(seconds / 2)
        return run(seconds)


def synchronise() -> None:
    """Wait until the device has done everything."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
