"""The versions that pipelines need: of models that this process follows, and of others, which it loads when asked.

So a worker that serves one of a pipeline's models computes the whole of it. A version of a model that it does not
follow is loaded from the registry by its number, and counts in the process' memory budget.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.observability.metrics import PredictMetrics
from shared.settings import Predict, Registry
from worker.models.devices import choose_device
from worker.models.loaded_model import LoadedModel
from worker.models.registry.registry_reader import RegistryReader
from worker.models.versions.known_versions import KnownVersions
from worker.models.versions.load_attempts import LoadAttempts, LoadingGate
from worker.models.versions.memory_budget import MemoryBudget
from worker.models.versions.version_cache import VersionCache
from worker.models.versions.version_loader import VersionLoader
from worker.models.versions.version_observer import VersionObserver


class FollowedVersions(Protocol):
    """A model's versions, as its follower holds them."""

    def has_to_load(self, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now."""

    def loaded(self, key: VersionKey) -> LoadedModel:
        """Return the version; raises ModelUnavailable."""


class MemberVersions:
    """Versions of any model, in one process. Threads may share it."""

    def __init__(
        self,
        *,
        followed: Callable[[], Mapping[ModelName, FollowedVersions]],
        client: redis.Redis,
        registry: Registry,
        predict: Predict,
        max_batch_size: int,
        max_pixels: int,
        metrics: PredictMetrics,
        budget: MemoryBudget,
        gate: LoadingGate,
    ) -> None:
        """`followed` returns the followers that this process has now, by model."""
        self._followed = followed
        self._client = client
        self._registry = registry
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._max_pixels = max_pixels
        self._metrics = metrics
        self._budget = budget
        self._gate = gate
        self._lock = threading.Lock()
        self._caches: dict[ModelName, VersionCache] = {}
        self._attempts: list[LoadAttempts] = []

    def has_to_load(self, model: ModelName, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now, which takes seconds."""
        follower = self._followed().get(model)
        return (self._cache(model) if follower is None else follower).has_to_load(key)

    def loaded(self, model: ModelName, key: VersionKey) -> LoadedModel:
        """Return the version, loading it if need be; raises ModelUnavailable."""
        follower = self._followed().get(model)
        return self._cache(model).get(key) if follower is None else follower.loaded(key)

    def clear(self) -> None:
        """Drop what is loaded of models that are not followed, and forget what is being loaded: the process ends."""
        with self._lock:
            caches, self._caches = list(self._caches.values()), {}
            attempts, self._attempts = self._attempts, []
        for one in attempts:
            one.forget()
        for cache in caches:
            cache.clear()

    def _cache(self, model: ModelName) -> VersionCache:
        with self._lock:
            if model not in self._caches:
                self._caches[model] = self._new_cache(model)
            return self._caches[model]

    def _new_cache(self, model: ModelName) -> VersionCache:
        observer = VersionObserver(self._metrics, model)
        attempts = LoadAttempts(
            self._client, model=model, host=socket.gethostname(), gate=self._gate, longest=self._predict.load_timeout
        )
        self._attempts.append(attempts)
        loader = VersionLoader(
            model,
            reader=RegistryReader(self._registry),
            registry=self._registry,
            predict=self._predict,
            device=choose_device(self._predict.device),
            max_batch_size=self._max_batch_size,
            max_pixels=self._max_pixels,
            observer=observer,
            known=KnownVersions(),
            attempts=attempts,
        )
        room = self._predict.loaded_versions
        return VersionCache(loader.load, room=room, budget=self._budget, on_unload=observer.dropped)
