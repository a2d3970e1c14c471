"""A version that this worker can't load and other workers serve: it serves, and its warnings say who lacks it and why.

Without this rule each kind of worker would publish a route of its own, in turn, and whoever lacks the version would
fail the images that are bound to it. So such a worker takes none of the model's work until it can load the version, or
until nobody else serves the model.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import CHALLENGER, CHAMPION
from shared.queue import keys, model_routes
from shared.queue.inspection.gauges import Gauges

log = logging.getLogger(__name__)

GET_IMAGES: Final = (CHAMPION, CHALLENGER)
"""Aliases whose images wait in the model's lanes; a shadow that can't be loaded here keeps nobody waiting."""
LONGEST_REASON: Final = 300
NOTED: Final = timedelta(minutes=1)
"""For how long it is known that workers can't load a version, from the last of them on: then each tries it again."""


class ServedElsewhere:
    """What other workers serve of one model; raises what Redis raises."""

    def __init__(self, model: ModelName, *, worker: str, client: redis.Redis) -> None:
        self._model = model
        self._worker = worker
        self._client = client
        self._gauges = Gauges(client)

    def has_others(self) -> bool:
        """Tell whether other workers give signs of life for the model.

        This one may give some or not, whatever it serves: it begins to after it has loaded the model, and its last one
        stays for a while.
        """
        return self._gauges.has_other_workers(self._model, self._worker)

    def find(self, failed: Mapping[VersionNumber, str], wanted: Mapping[str, VersionKey]) -> dict[VersionNumber, str]:
        """Return those of the versions that failed here which others serve under the alias that wants them."""
        if not failed:
            return {}
        found = {
            number: failed[number]
            for alias, (number, key) in self._routed().items()
            if number in failed and key == wanted.get(alias)
        }
        return found if found and self.has_others() else {}

    def gets_images(self, key: VersionKey) -> bool:
        """Tell whether the published route has a version as champion or challenger."""
        return any(key == routed for _, routed in self._routed().values())

    def may_load(self, key: VersionKey) -> bool:
        """Note that this worker can't load a version; tell whether others, which give signs of life, have not noted so.

        Which of them has it loaded nobody knows: it may have been asked for by its number. Whoever can't load it
        either notes so in its turn, and the last one leaves it to nobody; nor does one that can't note it, as in a
        Redis that is full. Safe to repeat.
        """
        noted = keys.unable_workers(self._model, key)
        others = self._gauges.worker_names(self._model) - {self._worker}
        if not others:
            return False
        try:
            with self._client.pipeline() as pipeline:
                pipeline.sadd(noted, self._worker)
                pipeline.expire(noted, NOTED)
                pipeline.smembers(noted)
                unable: set[bytes] = pipeline.execute()[-1]
        except redis.RedisError:
            return False
        return bool(others - {name.decode() for name in unable})

    def _routed(self) -> dict[str, tuple[VersionNumber, VersionKey]]:
        """Return the versions that get images by the published route, by alias."""
        route = model_routes.read(self._client, self._model)
        if route is None or not model_routes.is_published(self._client, self._model):
            return {}
        numbers = {alias: route.aliases[alias] for alias in GET_IMAGES if alias in route.aliases}
        return {alias: (number, route.versions[number].key) for alias, number in numbers.items()}

    def warn(self, failed: Mapping[VersionNumber, str]) -> None:
        """Add a warning to the published route for each version that failed here; safe to repeat."""
        model_routes.warn(
            self._client,
            self._model,
            {number: f"worker {self._worker} can't load it: {why[:LONGEST_REASON]}" for number, why in failed.items()},
        )
