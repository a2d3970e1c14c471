"""Loads and warms up versions of one model on this process' device, and notes what that shows."""

import logging
import time
from dataclasses import replace

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.output_schema import output_schema
from shared.settings import Predict, Registry
from worker.models.errors import ModelUnavailable
from worker.models.loaded_model import LoadedModel
from worker.models.loading import load
from worker.models.memory import memory_in_use
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import files_of
from worker.models.versions.known_versions import KnownVersions
from worker.models.versions.load_attempts import LoadAttempts
from worker.models.versions.version_observer import VersionObserver

log = logging.getLogger(__name__)


class VersionLoader:
    """Loads one model's versions; threads may share it."""

    def __init__(  # noqa: PLR0913  what a worker has one of is handed in, not looked for
        self,
        model: ModelName,
        *,
        reader: RegistryReader,
        registry: Registry,
        predict: Predict,
        device: str,
        max_batch_size: int,
        max_pixels: int,
        observer: VersionObserver,
        known: KnownVersions,
        attempts: LoadAttempts,
    ) -> None:
        self._model = model
        self._reader = reader
        self._registry = registry
        self._predict = predict
        self._device = device
        self._max_batch_size = max_batch_size
        self._max_pixels = max_pixels
        self._observer = observer
        self._known = known
        self._attempts = attempts

    def load(self, key: VersionKey) -> LoadedModel:
        """Load and warm up the version of a key.

        Raises ModelUnavailable if its number is another version's by now, or loading it has ended too many processes.
        """
        with self._attempts.attempt(key), self._observer.loading():
            return self._load_and_warm_up(key)

    def _load_and_warm_up(self, key: VersionKey) -> LoadedModel:
        candidate = self._reader.ready_version(self._model, VersionNumber(key.partition("-")[0]))
        # Tags that were changed since the image was submitted count as they are now.
        if files_of(candidate.key) != files_of(key):
            raise ModelUnavailable(f"version {candidate.number} was replaced by another model")
        started = time.monotonic()
        model = load(
            self._reader.uri(self._model, candidate),
            registry=self._registry,
            device=self._device,
            threads=self._predict.torch_threads,
            max_pixels=self._max_pixels,
            tags=candidate.tags,
        )
        before = memory_in_use(self._device)
        model.warm_up(self._max_batch_size)
        model.memory_bytes += max(0, memory_in_use(self._device) - before)
        self._observer.holds(key, memory=model.memory_bytes)
        self._known.note(
            replace(candidate, key=key),
            labels=model.labels,
            image=model.spec.as_metadata(),
            decode=str(model.decode),
            precision=str(model.precision),
            agreement=model.agreement,
            task=str(model.task),
            output=output_schema(model.task, labels=model.labels, options=model.options),
            warnings=model.warnings,
        )
        facts = {
            "version": candidate.number,
            "device": self._device,
            "decode": str(model.decode),
            "precision": str(model.precision),
        }
        milliseconds = round((time.monotonic() - started) * 1000)
        log.info("version_loaded", extra={**facts, "milliseconds": milliseconds, "bytes": model.memory_bytes})
        return model
