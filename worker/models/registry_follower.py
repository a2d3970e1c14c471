"""Follows one model in the MLflow registry: loads the versions its aliases name, then publishes its route in Redis.

The route says which version serves under which alias; the gateway reads it. It names a version only once that is
loaded and warm. A version that can't be loaded never serves: its alias keeps the version before, and the route says
why.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import redis

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from shared.domain.output_schema import output_schema
from shared.observability.logs import bound
from shared.observability.metrics import PredictMetrics
from shared.queue import model_routes
from shared.settings import Predict, Registry
from worker.models.devices import choose_device
from worker.models.errors import ModelUnavailable
from worker.models.failure_text import failure_text, one_line
from worker.models.loaded_model import LoadedModel
from worker.models.loading import load
from worker.models.registry_reader import NotRegistered, ReadyVersion, RegistryReader, RegistrySnapshot
from worker.models.version_cache import VersionCache
from worker.models.version_observer import VersionObserver
from worker.process.background_threads import vital_thread

log = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(milliseconds=500)
FACTS_A_POLL = 20
"""Versions whose training is read with one poll: a call each, and hundreds of them must not delay the start."""


class RegistryFollower:
    """One model's versions in this process. `loaded` may be called from any thread at any time."""

    def __init__(
        self,
        model: ModelName,
        *,
        client: redis.Redis,
        registry: Registry,
        predict: Predict,
        max_batch_size: int,
        max_pixels: int,
        metrics: PredictMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._client = client
        self._registry = registry
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._max_pixels = max_pixels
        self._observer = VersionObserver(metrics, model)
        self._device = choose_device(predict.device)
        self._reader = RegistryReader(model, registry)
        self._cache = VersionCache(self._load, room=predict.loaded_versions, monotonic=monotonic)
        self._serving: dict[str, VersionKey] | None = None
        self._lock = threading.Lock()
        self._versions: dict[VersionKey, Version] = {}
        self._with_facts: set[VersionKey] = set()
        self._published: Route | None = None
        self._retired = False
        self._failure = ""
        self._stopping = threading.Event()
        self._followed = threading.Event()
        self._thread = vital_thread(self._follow, name=f"follow-{model}")

    def start(self) -> None:
        """Poll once, so that the champion is loaded on return, then go on polling in a thread.

        A registry that is down is no error: it is tried again after growing pauses.
        """
        self._try_refresh()
        self._thread.start()

    def wait_until_followed(self, *, longest: timedelta) -> bool:
        """Wait; return whether by then the registry was read and what it names is loaded.

        A worker that took work earlier would fail it because of a registry that is merely late.
        """
        return self._followed.wait(longest.total_seconds())

    def stop(self) -> None:
        """Stop the thread and drop the loaded versions; the route stays for the other workers."""
        self._stopping.set()
        if self._thread.ident is not None:
            # It may be in a call to MLflow, which has a timeout of its own; the process need not wait for that.
            self._thread.join(timeout=5)
        self._cache.clear()

    def loaded(self, key: VersionKey) -> LoadedModel:
        """Return the version an entry is bound to, loading it if need be.

        Raises ModelUnavailable; after a failure, for a while without trying again.
        """
        return self._cache.get(key)

    def refresh(self) -> None:
        """Read the registry once, load what newly serves, and publish the route if it changed.

        Raises what MLflow and Redis raise when they are down, and NotRegistered where the model is gone; then its route
        is withdrawn, and what is loaded goes on serving.
        """
        try:
            registered = self._reader.read()
        except NotRegistered:
            self._withdraw()
            raise
        before = self._remembered() if self._serving is None else self._serving
        serving, failed = self._load_aliases(registered, before)
        self._observer.show(serving, failing=failed)
        self._serving = serving
        self._cache.keep(serving.values())
        self._read_training(registered)
        self._publish(self._route(registered, failed))
        self._followed.set()

    def _remembered(self) -> dict[str, VersionKey]:
        """Return what serves by the route in Redis, and remember what it says of the versions.

        So a worker that starts while the registry's champion is broken goes on with the one before.
        """
        route = model_routes.read(self._client, self._model)
        if route is None:
            return {}
        self._versions = {version.key: version for version in route.versions.values()}
        self._with_facts = {key for key, v in self._versions.items() if v.parameters or v.metrics}
        return {
            alias: route.versions[number].key for alias, number in route.aliases.items() if number in route.versions
        }

    def _load_aliases(
        self, registered: RegistrySnapshot, before: dict[str, VersionKey]
    ) -> tuple[dict[str, VersionKey], dict[VersionNumber, str]]:
        """Load the version each alias names; return which serves under it, and which versions failed and why."""
        serving: dict[str, VersionKey] = {}
        failed: dict[VersionNumber, str] = {}
        registered_keys = {candidate.key for candidate in registered.versions.values()}
        for alias, number in registered.aliases.items():
            if number not in registered.versions:
                continue
            wanted, old = registered.versions[number].key, before.get(alias)
            try:
                self._cache.get(wanted)
                serving[alias] = wanted
            except ModelUnavailable as error:
                failed[number] = str(error)
                if old in registered_keys and old is not None and self._loads(old):
                    serving[alias] = old
        return serving, failed

    def _loads(self, key: VersionKey) -> bool:
        try:
            self._cache.get(key)
        except ModelUnavailable:
            return False
        return True

    def _read_training(self, registered: RegistrySnapshot) -> None:
        """Read the training's parameters and metrics of versions that lack them, of those that serve first."""
        serving = set((self._serving or {}).values())
        unknown = [c for c in registered.versions.values() if c.key not in self._with_facts]
        unknown.sort(key=lambda candidate: (candidate.key not in serving, -int(candidate.number)))
        for candidate in unknown[:FACTS_A_POLL]:
            parameters, metrics = self._reader.training_facts(candidate)
            self._note(candidate, parameters=parameters, metrics=metrics)
            self._with_facts.add(candidate.key)

    def _version(self, candidate: ReadyVersion) -> Version:
        """Return what is known of a version; its labels and image preprocessing are known once it was loaded."""
        known = self._versions.get(candidate.key)
        if known is not None:
            return known
        return Version(number=candidate.number, key=candidate.key, created_at=candidate.created_at)

    def _note(self, candidate: ReadyVersion, **facts: Any) -> None:
        """Add to what is known of a version; under a lock, because predicting threads load versions too."""
        with self._lock:
            self._versions[candidate.key] = replace(self._version(candidate), **facts)

    def _route(self, registered: RegistrySnapshot, failed: dict[VersionNumber, str]) -> Route:
        numbers = {candidate.key: number for number, candidate in registered.versions.items()}
        return Route(
            model=self._model,
            description=registered.description,
            aliases={alias: numbers[key] for alias, key in (self._serving or {}).items()},
            versions={n: self._version(candidate) for n, candidate in registered.versions.items()},
            challenger_percent=registered.challenger_percent,
            failed=failed,
            device=self._device,
            max_batch_size=self._max_batch_size,
        )

    def _publish(self, route: Route) -> None:
        """Publish a route that changed, or that is no longer in Redis: lost by Redis, or withdrawn meanwhile.

        An unchanged route is not published again: a worker that lags behind would undo what others have published. The
        route of a retired model waits until the model is restored.
        """
        if route == self._published and model_routes.is_published(self._client, self._model):
            return
        is_retired = not model_routes.publish(self._client, route)
        if is_retired:
            self._published = None
            if not self._retired:
                log.info("model_retired")
            self._retired = True
            return
        self._retired = False
        self._published = route
        log.info("route_published", extra={"aliases": route.aliases, "failed": route.failed})

    def _load(self, key: VersionKey) -> LoadedModel:
        """Load and warm up the version of a key; raises ModelUnavailable if its number is another version's by now."""
        with self._observer.loading():
            return self._load_and_warm_up(key)

    def _load_and_warm_up(self, key: VersionKey) -> LoadedModel:
        candidate = self._reader.ready_version(VersionNumber(key.partition("-")[0]))
        if candidate.key != key:
            raise ModelUnavailable(f"version {candidate.number} was replaced by another model")
        started = time.monotonic()
        model = load(
            self._reader.uri(candidate),
            registry=self._registry,
            device=self._device,
            threads=self._predict.torch_threads,
            max_pixels=self._max_pixels,
            tags=candidate.tags,
        )
        model.warm_up(self._max_batch_size)
        self._note(
            candidate,
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
        log.info("version_loaded", extra={**facts, "milliseconds": milliseconds})
        return model

    def _follow(self) -> None:
        """Refresh until stopped, at the poll's pace; before the first success after pauses that double up to that."""
        pause = min(FIRST_PAUSE, self._registry.poll)
        while not self._stopping.wait((self._registry.poll if self._published else pause).total_seconds()):
            pause = min(pause * 2, self._registry.poll)
            self._try_refresh()

    def _try_refresh(self) -> None:
        """Refresh; a failure is logged when it begins and when it is over, not with every poll."""
        with bound(model=self._model):
            self._log_failure(*self._refresh_or_failure())

    def _refresh_or_failure(self) -> tuple[str, str]:
        """Refresh; return the log event of what went wrong and its reason, or two empty strings."""
        try:
            self.refresh()
        except NotRegistered as error:
            return "model_not_registered", one_line(str(error))
        except redis.RedisError as error:
            return "route_not_published", failure_text(error)
        except Exception as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors; serving goes on
            return "registry_unreachable", failure_text(error)
        return "", ""

    def _withdraw(self) -> None:
        """Withdraw the route of a model that is no longer registered; what waits is predicted with what is loaded.

        Only if it was published from here: a registry that never had the model may be new and filled later.
        """
        if self._published is not None:
            model_routes.withdraw(self._client, self._model)
            self._published = None
            log.warning("route_withdrawn")

    def _log_failure(self, failure: str, reason: str) -> None:
        if failure == self._failure:
            return
        if failure:
            log.warning(failure, extra={"reason": reason})
        else:
            log.info("registry_followed_again")
        self._failure = failure
