"""Reads the registry once: loads what a model's aliases name, decides which version serves, publishes the route.

A version that can't be loaded never serves: its alias keeps the version before, and the route says why. A champion goes
on serving, too, when its alias, its version or the whole model is deleted in the registry.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager

import redis

from shared.domain.canary import CANARY_TAG, Canary
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import CHAMPION
from shared.queue import model_routes
from shared.queue.consumer.promotions import Promotions
from worker.models.errors import ModelUnavailable
from worker.models.following.champion_trial import ChampionTrial
from worker.models.following.handover import Handover
from worker.models.following.loading_turns import LoadingTurns
from worker.models.following.published_route import PublishedRoute
from worker.models.following.served_elsewhere import ServedElsewhere
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import NotRegistered, RegistrySnapshot
from worker.models.versions.known_versions import KnownVersions
from worker.models.versions.version_cache import VersionCache
from worker.models.versions.version_observer import VersionObserver

log = logging.getLogger(__name__)


class RegistryRefresh:
    """What one model's refreshes have in common: which version serves under which alias. Called by one thread."""

    def __init__(  # noqa: PLR0913  what a follower has one of is handed in
        self,
        model: ModelName,
        *,
        worker: str,
        client: redis.Redis,
        read: Callable[[], RegistrySnapshot],
        reader: RegistryReader,
        cache: VersionCache,
        known: KnownVersions,
        route: PublishedRoute,
        observer: VersionObserver,
        stopping: Callable[[], bool],
        on_trial_failure: Callable[[], object],
        while_loading: Callable[[], AbstractContextManager[object]],
        monotonic: Callable[[], float],
    ) -> None:
        """`read` returns the model as it is registered, or raises NotRegistered; `reader` asks MLflow for the rest.

        `while_loading` is entered around the loading of a version while another one serves here.

        `followed` is set while what the registry names is loaded, `lost` once this process can't load the champion any
        more that others serve.
        """
        self._model = model
        self._client = client
        self._read = read
        self._reader = reader
        self._cache = cache
        self._known = known
        self._route = route
        self._observer = observer
        self._stopping = stopping
        self._while_loading = while_loading
        self._elsewhere = ServedElsewhere(model, worker=worker, client=client)
        promotions = Promotions(client, model=model, worker=worker)
        self._turns = LoadingTurns(promotions, stopping=stopping)
        self._handover = Handover(promotions, monotonic=monotonic)
        self._trial = ChampionTrial(model, worker=worker, client=client, on_failure=on_trial_failure)
        self.trial_results = self._trial.results
        self._serving: dict[str, VersionKey] | None = None
        self._served_last: dict[str, VersionKey] = {}
        self.followed = threading.Event()
        self.lost = threading.Event()

    @property
    def is_unfinished(self) -> bool:
        """Whether a version is loaded here that other workers have still to load before it serves.

        Or another worker published a route during the last refresh, which may be what this one had to publish.
        """
        return self._handover.waits or self._route.was_overtaken

    @property
    def champion(self) -> VersionKey | None:
        """The version that serves as champion; None before the first refresh and where there is none."""
        return (self._serving or {}).get(CHAMPION)

    @property
    def elsewhere(self) -> ServedElsewhere:
        """What other workers serve; any thread may ask."""
        return self._elsewhere

    def run(self) -> None:
        """Read the registry once, load what newly serves, and publish the route if it changed.

        Raises what MLflow and Redis raise when they are down, and NotRegistered where the model is gone and no worker
        has its champion loaded; then its route is withdrawn.
        """
        missing: NotRegistered | None = None
        self._route.begin()
        try:
            registered = self._read()
        except NotRegistered as error:
            registered, missing = RegistrySnapshot(), error
        before = self._serving_before()
        loaded, failed = self._load_aliases(registered, before)
        elsewhere = self._elsewhere.find(failed, {alias: version.key for alias, version in registered.named().items()})
        if elsewhere:
            self._leave_it_to_others("version_left_to_others", "; ".join(elsewhere.values()))
            self._observer.show({}, failing=failed)
            self._elsewhere.warn(elsewhere)
            return
        registered_keys = {candidate.key for candidate in registered.versions.values()}
        self._keep_champion(before, loaded, registered_keys)
        self._cache.pin({*loaded.values(), *before.values()} - registered_keys)
        if CHAMPION not in loaded:
            if CHAMPION in before and self._elsewhere.has_others():
                self._leave_it_to_others("champion_gone", self._why_gone(registered, failed))
                return
            if missing is not None:
                self._route.withdraw(was_served=CHAMPION in before)
                raise missing
        handed_over = self._hand_over(registered, before, loaded)
        serving, went_back = self._trial.apply(registered, handed_over, loads=self._loads)
        self._cache.keep({*loaded.values(), *serving.values()})
        self._observer.show(serving, failing=failed, went_back=went_back, canary=_canary_of(registered))
        self._serving = self._served_last = serving
        self._known.read_training(registered.versions.values(), reader=self._reader, serving=serving.values())
        self._route.publish(registered, serving, failed, went_back=went_back, model_is_gone=missing is not None)
        self.lost.clear()
        self.followed.set()
        if self._stopping():
            # `stop` may have set it just before: whoever waits for it would wait for ever.
            self.lost.set()

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
            if alias in serving and serving[alias] != key and not self._loads(serving[alias]):
                serving[alias] = key
        return serving

    def _load_in_turn(self, key: VersionKey) -> None:
        """Load a version in turn with the other workers, at once where nothing serves here. Raises ModelUnavailable."""
        if self._serving is None or self._cache.is_proven(key):
            self._cache.prove(key)
            return
        with self._turns.held(), self._while_loading():
            self._cache.prove(key)

    def _loads(self, key: VersionKey) -> bool:
        try:
            self._cache.prove(key)
        except ModelUnavailable:
            return False
        return True

    @staticmethod
    def _why_gone(registered: RegistrySnapshot, failed: Mapping[VersionNumber, str]) -> str:
        champion = registered.named().get(CHAMPION)
        return failed.get(champion.number, "") if champion else "it is no longer in the registry"

    def _leave_it_to_others(self, event: str, reason: str) -> None:
        """Take no work: other workers have a version loaded that this one can't load."""
        if not self.lost.is_set():
            log.warning(event, extra={"reason": reason})
        self._serving = None
        self.followed.clear()
        self.lost.set()


def _canary_of(registered: RegistrySnapshot) -> Canary | None:
    """Return the model's last canary; None where it had none, or its tag holds none, which the route tells."""
    try:
        return Canary.from_text(registered.tags[CANARY_TAG])
    except (KeyError, ValueError):
        return None
