"""Champions by a setting, whatever the registry's alias says: a version's number, or what a training run logged."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_reference import version_number
from shared.domain.model_route import CHAMPION
from shared.registry.logged_models import is_logged_model
from worker.models.failure_text import failure_text
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import RegistrySnapshot

log = logging.getLogger(__name__)

_SETTING: Final = "DARKROOM_REGISTRY_PINS"
_NONE: Final = RegistrySnapshot()


class PinnedVersions:
    """The pins of DARKROOM_REGISTRY_PINS: a model's name to a version or to what was logged, as people write them.

    So `3`, `digits:3`, `models:/digits/3`; `runs:/<id>/<path>`, `models:/m-<id>`.

    A logged model that is no version yet is registered; the registry's aliases are left as they are.
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
        if is_logged_model(pin) and self._numbers.get(model) not in snapshot.versions:
            try:
                self._numbers[model] = self._reader.version_of_logged(model, pin)
                snapshot = self._reader.read(model)
            except Exception as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors; it is tried again
                reason = failure_text(error)
        if is_logged_model(pin):
            number = self._numbers.get(model)
        else:
            number = version_number(pin, name=model, aliases=snapshot.aliases)
        others = {alias: other for alias, other in snapshot.aliases.items() if alias != CHAMPION}
        if number is None or number not in snapshot.versions:
            words = f"{_SETTING} pins {pin}, and {reason}: no version becomes champion"
            return replace(snapshot, aliases=others, pin=words), reason
        words = f"{_SETTING} of the workers pins version {number}, whatever the registry's champion is"
        return replace(snapshot, aliases={**others, CHAMPION: number}, pin=words), ""
