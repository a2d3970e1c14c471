"""Which models a process serves: they are begun and left as they are registered, retired and restored."""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import redis

from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHAMPION
from shared.queue import model_routes
from worker.models.registry.registry_snapshot import Snapshots

if TYPE_CHECKING:
    from worker.roles.model_service import ModelService

log = logging.getLogger(__name__)

LEFT_AFTER: Final = timedelta(seconds=2)
"""How long a retired model is served on: gateways may take images for it for a second, until they read that it is."""


class ModelServices:
    """The services of one process' models, each of which `make` returns, not started.

    `choose` and `stop` are called in one thread each; whatever else may be called from any.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        make: "Callable[[ModelName], ModelService]",
        is_ending: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._make = make
        self._is_ending = is_ending
        self._monotonic = monotonic
        self.seen: Snapshots = {}
        """The registry as it was chosen from last."""
        self._services: dict[ModelName, ModelService] = {}
        self._leaving: dict[ModelName, ModelService] = {}
        self._retired_at: dict[ModelName, float] = {}

    def choose(self, snapshots: Snapshots, *, names: list[ModelName] | None) -> None:
        """Follow the models that are wanted now; leave those that are retired and for which nothing waits.

        Of all where `names` is None. Called after each read; followers of models that have changed are woken. Raises
        what Redis raises.
        """
        retired = set(model_routes.retired(self._client))
        # One that was restored at once is served anew only when its service before has ended: both use its lanes.
        self._leaving = {model: service for model, service in self._leaving.items() if not service.has_ended}
        taken = self._services.keys() | self._leaving.keys() | retired
        for model in self._wanted(snapshots) if names is None else names:
            if model not in taken and not self._is_ending():
                self._services[model] = self._make(model)
                self._services[model].start()
        for model in self._may_be_left(retired & self._services.keys()):
            # What is registered may serve under this name again once it is restored.
            service = self._leaving[model] = self._services.pop(model)
            service.stop()
            log.info("model_dropped", extra={"model": model, "reason": "it is retired"})
        if snapshots is not self.seen:
            for model, service in self._services.items():
                if snapshots.get(model) != self.seen.get(model):
                    service.parts.follower.wake()
            self.seen = snapshots

    @property
    def are_first_read(self) -> bool:
        """Whether what the registry named for each of them is loaded and served, or failed to be loaded."""
        return all(service.is_first_read for service in list(self._services.values()))

    def stop(self) -> None:
        """Drop what is loaded; what is in hand is finished elsewhere."""
        for service in list(self._services.values()):
            service.parts.follower.stop()

    def _wanted(self, snapshots: Snapshots) -> Iterable[ModelName]:
        """Return the models with a champion, and those that served until their alias was gone."""
        routed = set(model_routes.names(self._client))
        return [model for model, one in snapshots.items() if CHAMPION in one.aliases or model in routed]

    def _may_be_left(self, retired: Iterable[ModelName]) -> list[ModelName]:
        """Return those of the retired models for which nothing waits, and nothing can come any more."""
        now = self._monotonic()
        self._retired_at = {model: self._retired_at.get(model, now) for model in retired}
        idle = []
        for model, since in self._retired_at.items():
            lanes = self._services[model].parts.lanes
            if now - since >= LEFT_AFTER.total_seconds() and not lanes.is_uploaded() and not lanes.lanes_with_entries():
                idle.append(model)
        return idle
