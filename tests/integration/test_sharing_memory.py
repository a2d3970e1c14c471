"""Models of one process share a budget of memory: the champion used least is unloaded, and stays in its route."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.observability.metrics import PredictMetrics, new_registry
from shared.queue import model_routes
from tests.support.deferred_imports import deferred
from tests.support.followers import Followers
from tests.support.registries import MODEL, MlflowStore

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower
    from worker.models.versions.memory_budget import MemoryBudget

memory_budget = deferred("worker.models.versions.memory_budget")

OTHER = ModelName("tints")
IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def follow(followers: Followers) -> Callable[[ModelName, "MemoryBudget", PredictMetrics], "RegistryFollower"]:
    def make(model: ModelName, budget: "MemoryBudget", metrics: PredictMetrics) -> "RegistryFollower":
        follower = followers.make(model, budget=budget, metrics=metrics)
        follower.refresh()
        return follower

    return make


def test_a_champion_that_is_unloaded_serves_on_and_is_loaded_again_when_asked(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    follow: Callable[[ModelName, "MemoryBudget", PredictMetrics], "RegistryFollower"],
) -> None:
    first_key, second_key = mlflow_store.register("champion"), mlflow_store.register("champion", model=OTHER)
    registry = new_registry()
    budget, metrics = memory_budget.MemoryBudget(1), PredictMetrics(registry)
    first, second = follow(MODEL, budget, metrics), follow(OTHER, budget, metrics)
    assert (first.has_champion_loaded, second.has_champion_loaded) == (False, True)
    assert (first.has_to_load(first_key), second.has_to_load(second_key)) == (True, False)
    assert registry.get_sample_value("darkroom_model_unloads_total", {"model": MODEL}) == 1
    held = {"model": OTHER, "version": "1"}
    assert (registry.get_sample_value("darkroom_model_memory_bytes", held) or 0) >= 48 * 2 * 4
    first.refresh()
    assert not first.has_champion_loaded, "reading the registry is no reason to load it"
    assert model_routes.names(redis_client) == sorted((MODEL, OTHER))
    assert len(first.loaded(first_key).predict([IMAGE])) == 1
    assert (first.has_champion_loaded, second.has_champion_loaded) == (True, False)


def test_a_champion_that_was_deleted_is_not_unloaded(
    mlflow_store: MlflowStore,
    redis_client: redis.Redis,
    follow: Callable[[ModelName, "MemoryBudget", PredictMetrics], "RegistryFollower"],
) -> None:
    mlflow_store.register("champion")
    mlflow_store.register("champion", model=OTHER)
    budget, metrics = memory_budget.MemoryBudget(1), PredictMetrics(new_registry())
    first = follow(MODEL, budget, metrics)
    mlflow_store.client.delete_model_version(MODEL, "1")
    first.refresh()
    second = follow(OTHER, budget, metrics)
    assert (first.has_champion_loaded, second.has_champion_loaded) == (True, True)
    assert model_routes.names(redis_client) == sorted((MODEL, OTHER))
