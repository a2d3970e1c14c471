"""Followers of models in a real MLflow registry, made as worker processes make them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import redis

from shared.domain.identifiers import ModelName
from shared.observability.metrics import PredictMetrics
from shared.settings import Predict, Registry
from tests.support.deferred_imports import deferred
from tests.support.observations import predict_metrics
from tests.support.registries import MODEL
from tests.support.tuning import usual_tuning

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

registry_follower = deferred("worker.models.following.registry_follower")


class Followers:
    """Makes followers of the models in one registry."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        """`url` is the registry's where `make` is told no other."""
        self._client = client
        self._url = url
        self._made: list[RegistryFollower] = []

    def make(
        self,
        model: ModelName = MODEL,
        *,
        worker: str = "worker",
        url: str | None = None,
        poll: float = 5.0,
        loaded_versions: int = 4,
        max_batch_size: int = 4,
        metrics: PredictMetrics | None = None,
        **options: Any,
    ) -> "RegistryFollower":
        """Return a follower that has read nothing yet; `poll` is in seconds."""
        follower: RegistryFollower = registry_follower.RegistryFollower(
            model,
            worker=worker,
            client=self._client,
            registry=Registry(url=url or self._url, poll=timedelta(seconds=poll)),
            predict=Predict(device="cpu", loaded_versions=loaded_versions),
            usual=usual_tuning(max_batch_size),
            max_pixels=1_000_000,
            metrics=metrics or predict_metrics(),
            **options,
        )
        self._made.append(follower)
        return follower

    def stop(self) -> None:
        """Stop every follower made."""
        for follower in self._made:
            follower.stop()


@contextmanager
def making_followers(client: redis.Redis, url: str) -> Iterator[Followers]:
    """Yield what makes followers; stop them all at the end."""
    followers = Followers(client, url)
    try:
        yield followers
    finally:
        followers.stop()
