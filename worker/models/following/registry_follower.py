"""Follows one model in the MLflow registry: loads the versions its aliases name, then publishes its route in Redis.

The route says which version serves under which alias; the gateway reads it. It names a version only once that is
loaded and warm. A version that can't be loaded never serves: its alias keeps the version before, and the route says
why. A champion goes on serving, too, when its alias, its version or the whole model is deleted in the registry: until
another version is champion or the model is retired.

Over 300 lines: what `refresh` brings together.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from datetime import timedelta

import redis

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.keep_rule import KeepRule
from shared.domain.model_route import CHAMPION, ShadowTarget
from shared.observability.logs import bound
from shared.observability.metrics import PredictMetrics
from shared.queue import model_routes
from shared.queue.consumer.promotions import Promotions
from shared.settings import Predict, Registry
from worker.models.devices import choose_device
from worker.models.errors import ModelUnavailable
from worker.models.failure_text import failure_text, one_line
from worker.models.following.champion_trial import ChampionTrial
from worker.models.following.failure_log import FailureLog
from worker.models.following.handover import Handover
from worker.models.following.loading_turns import LoadingTurns
from worker.models.following.published_route import PublishedRoute
from worker.models.following.served_elsewhere import ServedElsewhere
from worker.models.loaded_model import LoadedModel
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import NotRegistered, RegistrySnapshot
from worker.models.registry.serving_tags import Tuning
from worker.models.versions.known_versions import KnownVersions
from worker.models.versions.load_attempts import LoadAttempts, LoadingGate
from worker.models.versions.memory_budget import MemoryBudget
from worker.models.versions.version_cache import VersionCache
from worker.models.versions.version_loader import VersionLoader
from worker.models.versions.version_observer import VersionObserver
from worker.process.background_threads import vital_thread

log = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(milliseconds=500)
HANDOVER_PAUSE = timedelta(milliseconds=200)
"""How often it is checked whether all workers have loaded a version that is loaded here."""
NOT_REGISTERED = "model_not_registered"


class RegistryFollower:
    """One model's versions in this process. `loaded` may be called from any thread at any time."""

    def __init__(  # noqa: PLR0913  what a worker has one of is handed in, not looked for
        self,
        model: ModelName,
        *,
        worker: str,
        client: redis.Redis,
        registry: Registry,
        predict: Predict,
        usual: Tuning,
        max_pixels: int,
        metrics: PredictMetrics,
        budget: MemoryBudget | None = None,
        gate: LoadingGate | None = None,
        read: Callable[[], RegistrySnapshot] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`worker` is the name under which this process gives its sign of life; `usual` what counts without tags.

        `read` returns the model as it is registered, or raises NotRegistered; without it MLflow is asked.
        """
        self._model = model
        self._client = client
        self._registry = registry
        self._observer = VersionObserver(metrics, model)
        self._device = choose_device(predict.device)
        self._elsewhere = ServedElsewhere(model, worker=worker, client=client)
        self._reader = RegistryReader(registry)
        self._known = KnownVersions()
        self._read = read or (lambda: self._reader.read(model))
        self._attempts = LoadAttempts(client, model=model, host=socket.gethostname(), gate=gate or LoadingGate())
        self._loader = VersionLoader(
            model,
            reader=self._reader,
            registry=registry,
            predict=predict,
            device=self._device,
            max_batch_size=usual.max_batch_size,
            max_pixels=max_pixels,
            observer=self._observer,
            known=self._known,
            attempts=self._attempts,
        )
        self._cache = VersionCache(
            self._loader.load,
            room=predict.loaded_versions,
            budget=budget,
            on_unload=self._observer.dropped,
            monotonic=monotonic,
        )
        self._serving: dict[str, VersionKey] | None = None
        self._served_last: dict[str, VersionKey] = {}
        self._route = PublishedRoute(model, client=client, known=self._known, device=self._device, usual=usual)
        self._failures = FailureLog()
        self._stopping = threading.Event()
        promotions = Promotions(client, model=model, worker=worker)
        self._turns = LoadingTurns(promotions, stopping=self._stopping.is_set)
        self._handover = Handover(promotions, monotonic=monotonic)
        self._wake = threading.Event()
        self._trial = ChampionTrial(model, worker=worker, client=client, on_failure=self._wake.set)
        self.trial_results = self._trial.results
        self._was_read = False
        self._followed = threading.Event()
        self._lost = threading.Event()
        self._thread = vital_thread(self._follow, name=f"follow-{model}")

    def start(self) -> None:
        """Poll once, so that the champion is loaded on return, then go on polling in a thread.

        A registry that is down is no error: it is tried again after growing pauses.
        """
        self._try_refresh()
        self._thread.start()

    @property
    def is_first_read(self) -> bool:
        """Whether the registry was read once and what it named is loaded, or failed to be."""
        return self._was_read

    def wake(self) -> None:
        """Refresh now, in the follower's thread: the registry has changed."""
        self._wake.set()

    def wait_until_followed(self, *, longest: timedelta) -> bool:
        """Wait; return whether by then the registry was read and what it names is loaded.

        A worker that took work earlier would fail it because of a registry that is merely late.
        """
        return self._followed.wait(longest.total_seconds())

    def wait_until_lost(self) -> None:
        """Wait until this process can't load the champion any more that others serve, or the follower is stopped."""
        self._lost.wait()

    def stop(self) -> None:
        """Stop the thread and drop the loaded versions; the route stays for the other workers."""
        self._stopping.set()
        self._wake.set()
        self._lost.set()
        self._attempts.forget()
        if self._thread.ident is not None:
            # It may be in a call to MLflow, which has a timeout of its own; the process need not wait for that.
            self._thread.join(timeout=5)
        self._observer.show({}, failing={})
        self._cache.clear()

    def loaded(self, key: VersionKey) -> LoadedModel:
        """Return the version an entry is bound to, loading it if need be.

        Raises ModelUnavailable; after a failure, for a while without trying again.
        """
        return self._cache.get(key)

    @property
    def tuning(self) -> Tuning:
        """How the model's micro-batches are formed, by the settings and its tags."""
        return self._route.tuning

    @property
    def keep_rule(self) -> KeepRule | None:
        """Which pictures the model's tags keep to learn from; None where no tag says so."""
        return self._route.keep_rule

    @property
    def shadow(self) -> ShadowTarget | None:
        """What the model's shadow predicts too, None where it predicts nothing."""
        return self._route.shadow

    def has_to_load(self, key: VersionKey) -> bool:
        """Tell whether `loaded` would load the version now; False, too, while a failure is not tried again."""
        return self._cache.has_to_load(key)

    @property
    def has_champion_loaded(self) -> bool:
        """Whether the champion is in memory now; unloaded, it is loaded again when an image needs it."""
        champion = (self._serving or {}).get(CHAMPION)
        return champion is not None and self._cache.holds(champion)

    def refresh(self) -> None:
        """Read the registry once, load what newly serves, and publish the route if it changed.

        Raises what MLflow and Redis raise when they are down, and NotRegistered where the model is gone and no worker
        has its champion loaded; then its route is withdrawn.
        """
        missing: NotRegistered | None = None
        try:
            registered = self._read()
        except NotRegistered as error:
            registered, missing = RegistrySnapshot(), error
        before = self._serving_before()
        loaded, failed = self._load_aliases(registered, before)
        elsewhere = self._elsewhere.find(
            failed,
            {alias: version.key for alias, version in registered.named().items()},
            counts_itself=self._followed.is_set(),
        )
        if elsewhere:
            self._leave_it_to_others("version_left_to_others", "; ".join(elsewhere.values()))
            self._observer.show({}, failing=failed)
            self._elsewhere.warn(elsewhere)
            return
        registered_keys = {candidate.key for candidate in registered.versions.values()}
        self._keep_champion(before, loaded, registered_keys)
        self._cache.pin({*loaded.values(), *before.values()} - registered_keys)
        if CHAMPION not in loaded:
            if CHAMPION in before and self._elsewhere.has_others(counts_itself=self._followed.is_set()):
                self._leave_it_to_others("champion_gone", "it is no longer in the registry")
                return
            if missing is not None:
                self._route.withdraw(was_served=CHAMPION in before)
                raise missing
        handed_over = self._hand_over(registered, before, loaded)
        serving, went_back = self._trial.apply(registered, handed_over, loads=self._loads)
        self._cache.keep({*loaded.values(), *serving.values()})
        self._observer.show(serving, failing=failed, went_back=went_back)
        self._serving = self._served_last = serving
        self._known.read_training(registered.versions.values(), reader=self._reader, serving=serving.values())
        self._route.publish(registered, serving, failed, went_back=went_back, model_is_gone=missing is not None)
        self._lost.clear()
        self._followed.set()

    def _serving_before(self) -> dict[str, VersionKey]:
        """Return what served until now: here, or by the route in Redis where this process begins.

        So a worker that starts while the registry's champion is broken goes on with the one before.
        """
        if self._route.is_retired:
            return {}
        if self._serving is not None:
            return self._serving
        route = model_routes.read(self._client, self._model)
        if route is None:
            return {}
        self._known.remember(route)
        return {
            alias: route.versions[number].key for alias, number in route.aliases.items() if number in route.versions
        }

    def _load_aliases(
        self, registered: RegistrySnapshot, before: Mapping[str, VersionKey]
    ) -> tuple[dict[str, VersionKey], dict[VersionNumber, str]]:
        """Load the version each alias names; return which serves under it, and which versions failed and why."""
        serving: dict[str, VersionKey] = {}
        failed: dict[VersionNumber, str] = {}
        for alias, wanted in registered.named().items():
            old = before.get(alias)
            try:
                self._load_in_turn(wanted.key)
                serving[alias] = wanted.key
            except ModelUnavailable as error:
                failed[wanted.number] = str(error)
                # Others served it until now, and this worker the version before.
                old = self._served_last.get(alias) if old == wanted.key else old
                if old is not None and self._loads(old):
                    serving[alias] = old
        return serving, failed

    def _keep_champion(
        self, before: Mapping[str, VersionKey], serving: dict[str, VersionKey], registered: Collection[VersionKey]
    ) -> None:
        """Let the champion go on serving that the registry no longer names, or names a version that is not ready.

        A challenger or a shadow ends with its alias: images without an alias then all go to the champion.
        """
        old = before.get(CHAMPION)
        if CHAMPION in serving or old is None or not self._route.is_published():
            return
        if self._loads(old) if old in registered else self._cache.holds(old):
            serving[CHAMPION] = old

    def _hand_over(
        self, registered: RegistrySnapshot, before: Mapping[str, VersionKey], loaded: Mapping[str, VersionKey]
    ) -> dict[str, VersionKey]:
        """Return the version that gets each alias' images: one that is new once all workers have it loaded."""
        wanted = {alias: version.key for alias, version in registered.named().items()}
        serving = self._handover.aliases_to_route(before=before, wanted=wanted, loaded=loaded)
        for alias, key in loaded.items():
            # This process has just started, and the one before can't be loaded any more.
            if serving[alias] != key and not self._loads(serving[alias]):
                serving[alias] = key
        return serving

    def _load_in_turn(self, key: VersionKey) -> None:
        """Load a version in turn with the other workers, at once where nothing serves here. Raises ModelUnavailable."""
        waits = self._serving is not None and not self._cache.is_proven(key)
        with self._turns.held() if waits else nullcontext():
            self._cache.prove(key)

    def _loads(self, key: VersionKey) -> bool:
        try:
            self._cache.prove(key)
        except ModelUnavailable:
            return False
        return True

    def _leave_it_to_others(self, event: str, reason: str) -> None:
        """Take no work: other workers have a version loaded that this one can't load."""
        if not self._lost.is_set():
            log.warning(event, extra={"reason": reason})
        self._serving = None
        self._followed.clear()
        self._lost.set()

    def _follow(self) -> None:
        """Refresh until stopped, at the poll's pace; before the first success after pauses that double up to that."""
        pause = min(FIRST_PAUSE, self._registry.poll)
        while True:
            usual = self._registry.poll if self._route.was_published else pause
            self._wake.wait((min(HANDOVER_PAUSE, usual) if self._handover.waits else usual).total_seconds())
            self._wake.clear()
            if self._stopping.is_set():
                return
            pause = min(pause * 2, self._registry.poll)
            self._try_refresh()

    def _try_refresh(self) -> None:
        """Refresh; a failure is logged when it begins and when it is over, not with every poll."""
        with bound(model=self._model):
            failure, reason = self._refresh_or_failure()
            self._was_read = self._was_read or failure in ("", NOT_REGISTERED)
            self._failures.tell(failure, reason)

    def _refresh_or_failure(self) -> tuple[str, str]:
        """Refresh; return the log event of what went wrong and its reason, or two empty strings."""
        try:
            self.refresh()
        except NotRegistered as error:
            return NOT_REGISTERED, one_line(str(error))
        except redis.RedisError as error:
            return "route_not_published", failure_text(error)
        except Exception as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors; serving goes on
            return "registry_unreachable", failure_text(error)
        return "", ""
