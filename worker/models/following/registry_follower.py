"""Follows one model in the MLflow registry: loads the versions its aliases name, then publishes its route in Redis.

The route says which version serves under which alias; the gateway reads it. It names a version only once that is
loaded and warm. A version that can't be loaded never serves: its alias keeps the version before, and the route says
why. A champion goes on serving, too, when its alias, its version or the whole model is deleted in the registry: until
another version is champion or the model is retired.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.domain.keep_rule import KeepRule
from shared.domain.model_route import ShadowTarget
from shared.observability.logs import bound
from shared.observability.metrics import PredictMetrics
from shared.settings import Predict, Registry
from worker.models.devices import choose_device
from worker.models.failure_text import failure_text, one_line
from worker.models.following.failure_log import FailureLog
from worker.models.following.published_route import PublishedRoute
from worker.models.following.registry_refresh import RegistryRefresh
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

FIRST_PAUSE = timedelta(milliseconds=500)
HANDOVER_PAUSE = timedelta(milliseconds=200)
"""How often it is checked whether all workers have loaded a version that is loaded here, or how it is published."""
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
        while_loading: Callable[[], AbstractContextManager[object]] = nullcontext,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`worker` is the name under which this process gives its sign of life; `usual` what counts without tags.

        `read` returns the model as it is registered, or raises NotRegistered; without it MLflow is asked.
        `while_loading` is entered around the loading of a version while another one serves here.
        """
        self._model = model
        self._registry = registry
        self._observer = VersionObserver(metrics, model)
        device = choose_device(predict.device)
        reader = RegistryReader(registry)
        known = KnownVersions()
        self._attempts = LoadAttempts(
            client,
            model=model,
            host=socket.gethostname(),
            gate=gate or LoadingGate(),
            longest=predict.load_timeout,
        )
        loader = VersionLoader(
            model,
            reader=reader,
            registry=registry,
            predict=predict,
            device=device,
            max_batch_size=usual.max_batch_size,
            max_pixels=max_pixels,
            observer=self._observer,
            known=known,
            attempts=self._attempts,
        )
        self._cache = VersionCache(
            loader.load,
            room=predict.loaded_versions,
            budget=budget,
            on_unload=self._observer.dropped,
            monotonic=monotonic,
        )
        self._route = PublishedRoute(model, client=client, known=known, device=device, usual=usual)
        self._failures = FailureLog()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._refresh = RegistryRefresh(
            model,
            worker=worker,
            client=client,
            read=read or (lambda: reader.read(model)),
            reader=reader,
            cache=self._cache,
            known=known,
            route=self._route,
            observer=self._observer,
            stopping=self._stopping.is_set,
            on_trial_failure=self._wake.set,
            while_loading=while_loading,
            monotonic=monotonic,
        )
        self.trial_results = self._refresh.trial_results
        self._was_read = False
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

    @property
    def is_followed(self) -> bool:
        """Whether what the registry names is loaded, and this process is to serve it."""
        return self._refresh.followed.is_set()

    def wake(self) -> None:
        """Refresh now, in the follower's thread: the registry has changed."""
        self._wake.set()

    def wait_until_followed(self, *, longest: timedelta) -> bool:
        """Wait; return whether by then the registry was read and what it names is loaded.

        A worker that took work earlier would fail it because of a registry that is merely late.
        """
        return self._refresh.followed.wait(longest.total_seconds())

    def wait_until_lost(self) -> None:
        """Wait until this process can't load the champion any more that others serve, or the follower is stopped."""
        self._refresh.lost.wait()

    def stop(self) -> None:
        """Stop the thread and drop the loaded versions; the route stays for the other workers."""
        self._stopping.set()
        self._wake.set()
        self._refresh.lost.set()
        self._attempts.forget()
        if self._thread.ident is not None:
            # It may be in a call to MLflow, which has a timeout of its own; the process need not wait for that.
            self._thread.join(timeout=5)
        self._drop()

    def loaded(self, key: VersionKey) -> LoadedModel:
        """Return the version an entry is bound to, loading it if need be.

        Raises ModelUnavailable; after a failure, for a while without trying again.
        """
        return self._cache.get(key)

    def leaves_to_others(self, key: VersionKey) -> bool:
        """Tell whether others may have a version that can't be loaded here.

        Where it serves, the next refresh, now, leaves the model. One that was loaded here before is not left to others:
        they may have it no more either, and no refresh loads it to find out. Raises what Redis raises.
        """
        elsewhere = self._refresh.elsewhere
        if self._cache.is_proven(key) or self._cache.has_to_load(key) or not elsewhere.may_load(key):
            return False
        if elsewhere.gets_images(key):
            self._wake.set()
        return True

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
        champion = self._refresh.champion
        return champion is not None and self._cache.holds(champion)

    def refresh(self) -> None:
        """Read the registry once, load what newly serves, and publish the route if it changed.

        Raises what MLflow and Redis raise when they are down, and NotRegistered where the model is gone and no worker
        has its champion loaded; then its route is withdrawn.
        """
        self._refresh.run()

    def _follow(self) -> None:
        """Refresh until stopped, at the poll's pace; before the first success after pauses that double up to that."""
        pause = min(FIRST_PAUSE, self._registry.poll)
        while True:
            usual = self._registry.poll if self._route.was_published else pause
            self._wake.wait((min(HANDOVER_PAUSE, usual) if self._refresh.is_unfinished else usual).total_seconds())
            self._wake.clear()
            if self._stopping.is_set():
                self._drop()  # of a refresh that took longer than `stop` waits, too
                return
            pause = min(pause * 2, self._registry.poll)
            self._try_refresh()

    def _drop(self) -> None:
        self._observer.show({}, failing={})
        self._cache.clear()

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
