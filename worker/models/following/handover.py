"""Moves a model's traffic to another version once all its workers have prepared for that."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import VersionKey
from shared.domain.model_route import CHAMPION
from shared.queue.consumer.promotions import Promotions

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(minutes=5)
"""After this the version serves although a worker has not loaded it yet: that one loads it with the first image.

A large version that three workers load in turn takes minutes.
"""

Served = Mapping[str, VersionKey]
"""The version under each alias."""


class Handover:
    """The promotions of one model as one worker takes part in them; called from its follower's thread alone."""

    def __init__(self, promotions: Promotions, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._promotions = promotions
        self._monotonic = monotonic
        self._since: dict[VersionKey, float] = {}
        self.waits = False
        """Whether a version that is loaded here is not loaded yet by another worker."""

    def aliases_to_route(self, *, before: Served, wanted: Served, loaded: Served) -> dict[str, VersionKey]:
        """Return the version that is to get each alias' images now: what is loaded here, or still the one before.

        An alias that is new, as a challenger is, has none before: it is left out until then. Where no champion serves
        yet nobody waits. `wanted` is what the registry names. Every worker that serves the model notes when it has
        loaded that, or failed to. Safe to repeat: a worker that is killed meanwhile is no longer waited for. Raises
        what Redis raises.
        """
        aliases = dict(loaded)
        changing = {key for alias, key in wanted.items() if before.get(alias) != key} if CHAMPION in before else set()
        self._since = {key: self._since.get(key, self._monotonic()) for key in changing}
        missing = {key: self._promotions.note_prepared(key) for key in changing}
        for alias, key in wanted.items():
            if key in changing and loaded.get(alias) == key and missing[key] and not self._is_over(key):
                if alias in before:
                    aliases[alias] = before[alias]
                else:
                    del aliases[alias]
        self.waits = aliases != dict(loaded)
        return aliases

    def _is_over(self, key: VersionKey) -> bool:
        over = self._monotonic() - self._since[key] > PATIENCE.total_seconds()
        if over:
            log.warning("handover_not_awaited", extra={"version": key})
        return over
