"""Follow one model in the MLflow registry: load what its aliases name, then say that it serves.

A version is loaded and warm before the route flips to it. One that can't be loaded never serves: its
alias stays where it was, and the route says why.
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
from shared.observability.logs import bound
from shared.observability.metrics import PredictMetrics
from shared.queue import model_routes
from shared.settings import Predict, Registry
from worker.models.devices import choose_device
from worker.models.errors import ModelUnavailable
from worker.models.loaded_model import LoadedModel
from worker.models.loading import load
from worker.models.registry_reader import NotRegistered, ReadyVersion, RegistryReader, RegistrySnapshot
from worker.models.version_cache import VersionCache
from worker.models.version_observer import VersionObserver
from worker.process.background_threads import vital_thread

log = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(milliseconds=500)
FACTS_A_LOOK = 20
"""Training facts take a call a version; a model with hundreds of them must not start late for it."""


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
        metrics: PredictMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._client = client
        self._registry = registry
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._observer = VersionObserver(metrics, model)
        self._device = choose_device(predict.device)
        self._catalogue = RegistryReader(model, registry)
        self._shelf = VersionCache(self._load, room=predict.loaded_versions, monotonic=monotonic)
        self._serving: dict[str, VersionKey] | None = None
        self._lock = threading.Lock()
        self._versions: dict[VersionKey, Version] = {}
        self._with_facts: set[VersionKey] = set()
        self._published: Route | None = None
        self._retired = False
        self._trouble = ""
        self._stopping = threading.Event()
        self._followed = threading.Event()
        self._thread = vital_thread(self._follow, name=f"follow-{model}")

    def start(self) -> None:
        """Look once, so that the champion is loaded on return, then go on looking in a thread.

        A registry that is down is no error: it is tried again after growing pauses.
        """
        self._try_refresh()
        self._thread.start()

    def wait_until_followed(self, *, longest: timedelta) -> bool:
        """Tell whether, within that time, the registry has been seen and what it names is loaded.

        A worker that took work before would fail it for a registry that is merely late.
        """
        return self._followed.wait(longest.total_seconds())

    def stop(self) -> None:
        """End the thread and drop the loaded versions; the route stays, for the other workers."""
        self._stopping.set()
        if self._thread.ident is not None:
            # It may be in a call that is bounded by MLflow's own timeout; the process need not wait.
            self._thread.join(timeout=5)
        self._shelf.clear()

    def loaded(self, key: VersionKey) -> LoadedModel:
        """Return the version an entry is bound to, loading it if need be.

        Raises ModelUnavailable, for a while without trying again.
        """
        return self._shelf.get(key)

    def refresh(self) -> None:
        """Take one look at the registry, load what newly serves, and publish the route if it changed.

        Raises what MLflow and Redis raise when they are down, and NotRegistered where the model is gone, whose route is
        withdrawn then; what was loaded goes on serving.
        """
        try:
            registered = self._catalogue.look()
        except NotRegistered:
            self._withdraw()
            raise
        before = self._remembered() if self._serving is None else self._serving
        serving, failed = self._settle(registered, before)
        self._observer.show(serving, failing=failed)
        self._serving = serving
        self._shelf.keep(serving.values())
        self._learn(registered)
        self._publish(self._route(registered, failed))
        self._followed.set()

    def _remembered(self) -> dict[str, VersionKey]:
        """Return what the route in Redis says serves, and keep what it knows of the versions.

        A worker that starts while the registry's champion is broken goes on with the one before.
        """
        route = model_routes.read(self._client, self._model)
        if route is None:
            return {}
        self._versions = {version.key: version for version in route.versions.values()}
        self._with_facts = {key for key, v in self._versions.items() if v.parameters or v.metrics}
        return {
            alias: route.versions[number].key for alias, number in route.aliases.items() if number in route.versions
        }

    def _settle(
        self, registered: RegistrySnapshot, before: dict[str, VersionKey]
    ) -> tuple[dict[str, VersionKey], dict[VersionNumber, str]]:
        """Load what each alias names; return what serves under it, and which versions failed and why."""
        serving: dict[str, VersionKey] = {}
        failed: dict[VersionNumber, str] = {}
        there = {candidate.key for candidate in registered.versions.values()}
        for alias, number in registered.aliases.items():
            if number not in registered.versions:
                continue
            wanted, old = registered.versions[number].key, before.get(alias)
            try:
                self._shelf.get(wanted)
                serving[alias] = wanted
            except ModelUnavailable as error:
                failed[number] = str(error)
                if old in there and old is not None and self._loads(old):
                    serving[alias] = old
        return serving, failed

    def _loads(self, key: VersionKey) -> bool:
        try:
            self._shelf.get(key)
        except ModelUnavailable:
            return False
        return True

    def _learn(self, registered: RegistrySnapshot) -> None:
        """Fetch the training facts of versions that are new here: those that serve first."""
        serving = set((self._serving or {}).values())
        unknown = [c for c in registered.versions.values() if c.key not in self._with_facts]
        unknown.sort(key=lambda candidate: (candidate.key not in serving, -int(candidate.number)))
        for candidate in unknown[:FACTS_A_LOOK]:
            parameters, metrics = self._catalogue.facts(candidate)
            self._note(candidate, parameters=parameters, metrics=metrics)
            self._with_facts.add(candidate.key)

    def _version(self, candidate: ReadyVersion) -> Version:
        """Return what is known of a version; labels and image come when it is loaded."""
        known = self._versions.get(candidate.key)
        if known is not None:
            return known
        return Version(number=candidate.number, key=candidate.key, created_at=candidate.created_at)

    def _note(self, candidate: ReadyVersion, **facts: Any) -> None:
        """Add to what is known of a version; predicting threads load versions too."""
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
        """Publish a route that changed, or that is there no more: Redis has lost it, or it was withdrawn meanwhile.

        An unchanged one is left alone: a worker that is behind would turn back the ones ahead. That of a retired model
        waits until it is restored.
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
        log.info(
            "route_published",
            extra={"aliases": route.aliases, "failed": route.failed},
        )

    def _load(self, key: VersionKey) -> LoadedModel:
        """Load and warm up the version behind a key, unless its number means another one by now."""
        with self._observer.loading():
            return self._load_and_warm_up(key)

    def _load_and_warm_up(self, key: VersionKey) -> LoadedModel:
        candidate = self._catalogue.candidate(VersionNumber(key.partition("-")[0]))
        if candidate.key != key:
            raise ModelUnavailable(f"version {candidate.number} was replaced by another model")
        started = time.monotonic()
        model = load(
            self._catalogue.uri(candidate),
            registry=self._registry,
            device=self._device,
            threads=self._predict.torch_threads,
        )
        model.warm_up(self._max_batch_size)
        self._note(candidate, labels=model.labels, image=model.spec.as_metadata())
        facts = {"version": candidate.number, "device": self._device}
        milliseconds = round((time.monotonic() - started) * 1000)
        log.info("version_loaded", extra={**facts, "milliseconds": milliseconds})
        return model

    def _follow(self) -> None:
        """Refresh until stopped; until the first success after pauses that double up to the poll's."""
        pause = min(FIRST_PAUSE, self._registry.poll)
        while not self._stopping.wait((self._registry.poll if self._published else pause).total_seconds()):
            pause = min(pause * 2, self._registry.poll)
            self._try_refresh()

    def _try_refresh(self) -> None:
        """Refresh; trouble is logged when it begins and when it is over, not at every look."""
        with bound(model=self._model):
            self._log_trouble(*self._refresh_or_trouble())

    def _refresh_or_trouble(self) -> tuple[str, str]:
        """Refresh; return what went wrong and why, two empty strings where nothing did."""
        try:
            self.refresh()
        except NotRegistered as error:
            return "model_not_registered", str(error)
        except redis.RedisError as error:
            return "route_not_published", repr(error)
        except Exception as error:  # noqa: BLE001  MLflow's stores raise anything; serving goes on
            return "registry_unreachable", repr(error)
        return "", ""

    def _withdraw(self) -> None:
        """Withdraw the route of a model that is no longer registered; what waits is served by what is loaded here.

        A registry that never knew the model may be a new one, that others have yet to fill.
        """
        if self._published is not None:
            model_routes.withdraw(self._client, self._model)
            self._published = None
            log.warning("route_withdrawn")

    def _log_trouble(self, trouble: str, reason: str) -> None:
        if trouble == self._trouble:
            return
        if trouble:
            log.warning(trouble, extra={"reason": reason[:300]})
        else:
            log.info("registry_followed_again")
        self._trouble = trouble
