"""Champions by a setting, whatever the registry's alias says: a version's number, or what a training run logged."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHAMPION
from shared.registry.run_versions import RUNS
from worker.models.failure_text import failure_text
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import RegistrySnapshot

log = logging.getLogger(__name__)

_NONE: Final = RegistrySnapshot()


class PinnedVersions:
    """The pins of DARKROOM_REGISTRY_PINS: a model's name to `3` or `runs:/<id>/<path>`.

    A run's model that is no version yet is registered; the registry's aliases are left as they are.
    """

    def __init__(self, reader: RegistryReader, pins: Mapping[str, str]) -> None:
        self._reader = reader
        self._pins = {ModelName(model): pin for model, pin in pins.items()}
        self._numbers: dict[ModelName, VersionNumber] = {}
        self._told: dict[ModelName, str] = {}

    def apply(self, found: Mapping[ModelName, RegistrySnapshot]) -> dict[ModelName, RegistrySnapshot]:
        """Return what was read with each pinned version as champion; no champion where a pin can't be resolved.

        Asks MLflow only while a pin is not resolved. What serves already goes on serving without a champion.
        """
        changed = dict(found)
        for model, pin in self._pins.items():
            snapshot, reason = self._pinned(model, pin, found.get(model, _NONE))
            if model in found or snapshot.versions:
                changed[model] = snapshot
            if reason and reason != self._told.get(model):
                log.warning("pin_not_served", extra={"model": model, "pin": pin, "reason": reason})
            self._told[model] = reason
        return changed

    def _pinned(self, model: ModelName, pin: str, snapshot: RegistrySnapshot) -> tuple[RegistrySnapshot, str]:
        reason = "there is no such version that is ready"
        if pin.startswith(RUNS) and self._numbers.get(model) not in snapshot.versions:
            try:
                self._numbers[model] = self._reader.version_of_run(model, pin)
                snapshot = self._reader.read(model)
            except Exception as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors; it is tried again
                reason = failure_text(error)
        number = self._numbers.get(model) if pin.startswith(RUNS) else VersionNumber(pin)
        others = {alias: other for alias, other in snapshot.aliases.items() if alias != CHAMPION}
        if number is None or number not in snapshot.versions:
            return replace(snapshot, aliases=others), reason
        return replace(snapshot, aliases={**others, CHAMPION: number}), ""
