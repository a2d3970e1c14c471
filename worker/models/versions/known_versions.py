"""What is known of one model's versions, for its route: what loading found, and the training's parameters."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from shared.domain.identifiers import VersionKey
from shared.domain.model_route import Route, Version
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import ReadyVersion

FACTS_A_POLL: Final = 20
"""Versions whose training is read with one poll: a call each, and hundreds of them must not delay the start."""


class KnownVersions:
    """Facts by version key; any thread may add some, because predicting threads load versions too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[VersionKey, Version] = {}
        self._with_training: set[VersionKey] = set()

    def remember(self, route: Route) -> None:
        """Take over what a published route says."""
        with self._lock:
            self._versions = {version.key: version for version in route.versions.values()}
            self._with_training = {key for key, v in self._versions.items() if v.parameters or v.metrics}

    def find(self, key: VersionKey) -> Version | None:
        """Return what is known of a version that may no longer be registered."""
        return self._versions.get(key)

    def version(self, candidate: ReadyVersion) -> Version:
        """Return what is known of a version; its labels and image preprocessing are known once it was loaded."""
        known = self._versions.get(candidate.key)
        if known is not None:
            return known
        return Version(number=candidate.number, key=candidate.key, created_at=candidate.created_at)

    def note(self, candidate: ReadyVersion, **facts: Any) -> None:
        """Add to what is known of a version."""
        with self._lock:
            self._versions[candidate.key] = replace(self.version(candidate), **facts)

    def read_training(
        self,
        candidates: Iterable[ReadyVersion],
        *,
        reader: RegistryReader,
        serving: Collection[VersionKey],
    ) -> None:
        """Read the training's parameters and metrics of versions that lack them, of those that serve first."""
        unknown = [candidate for candidate in candidates if candidate.key not in self._with_training]
        unknown.sort(key=lambda candidate: (candidate.key not in serving, -int(candidate.number)))
        for candidate in unknown[:FACTS_A_POLL]:
            parameters, metrics = reader.training_facts(candidate)
            self.note(candidate, parameters=parameters, metrics=metrics)
            self._with_training.add(candidate.key)
