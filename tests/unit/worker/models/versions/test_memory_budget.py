"""Versions share a budget of memory: the least recently used one of any model makes room."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deferred_imports import deferred

memory_budget = deferred("worker.models.versions.memory_budget")
version_cache = deferred("worker.models.versions.version_cache")
pytestmark = pytest.mark.xdist_group("torch")


class Loads:
    """Loads versions of 10 bytes, except those that are said to be larger; counts."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.keys: list[str] = []

    def __call__(self, key: str) -> Any:
        self.keys.append(key)
        return SimpleNamespace(key=key, memory_bytes=self.sizes.get(key, 10))


def caches(limit: int, *loads: Loads) -> list[Any]:
    budget = memory_budget.MemoryBudget(limit)
    return [version_cache.VersionCache(load, room=4, budget=budget) for load in loads]


def held(*several: Any) -> set[str]:
    return {use.key for cache in several for use in cache.uses()}


def test_the_least_recently_used_version_of_any_model_is_unloaded_and_loaded_again() -> None:
    loads = Loads()
    first, second, third = caches(25, loads, loads, loads)
    first.keep(["1-a"])
    first.get("1-a")
    second.get("1-b")
    first.get("1-a")
    third.get("1-c")
    assert held(first, second, third) == {"1-a", "1-c"}
    assert [cache.has_to_load(key) for cache, key in ((first, "1-a"), (second, "1-b"))] == [False, True]
    second.prove("1-b")
    assert loads.keys == ["1-a", "1-b", "1-c"], "it was loaded before: that is proof enough"
    assert second.get("1-b").key == "1-b"
    assert held(first, second, third) == {"1-c", "1-b"}
    assert loads.keys[3:] == ["1-b"]


def test_a_version_over_the_budget_is_loaded_alone() -> None:
    loads = Loads(large=100)
    first, second = caches(25, loads, loads)
    first.get("1-a")
    assert second.get("large").key == "large"
    assert held(first, second) == {"large"}


def test_two_models_may_have_versions_of_the_same_key() -> None:
    loads = Loads()
    first, second = caches(15, loads, loads)
    first.get("1-a")
    second.get("1-a")
    assert (held(first), held(second)) == (set(), {"1-a"})


def test_what_cannot_be_loaded_again_is_never_unloaded() -> None:
    loads = Loads()
    first, second, third = caches(15, loads, loads, loads)
    first.get("1-a")
    first.pin(["1-a"])
    second.get("1-b")
    third.get("1-c")
    assert held(first, second, third) == {"1-a", "1-c"}


def test_who_computes_with_a_version_keeps_it_while_it_is_unloaded() -> None:
    loads = Loads()
    first, second = caches(10, loads, loads)
    model = first.get("1-a")
    second.get("1-b")
    assert (held(first, second), model.key) == ({"1-b"}, "1-a")


def test_a_cache_that_is_cleared_counts_no_more() -> None:
    loads = Loads()
    first, second = caches(10, loads, loads)
    first.get("1-a")
    first.clear()
    second.get("1-b")
    assert held(first, second) == {"1-b"}


def test_a_cpus_share_is_half_the_machine_divided_by_its_cores() -> None:
    limit = memory_budget.default_limit("cpu")
    assert 0 < limit * memory_budget.cores() <= memory_budget.machine_memory() / 2
