"""The predict role (`-Q predict`, or `-Q predict.<model>`): follows models in the registry and predicts their images.

Of all registered models that have a champion, or of those named. Each is served by itself: one that is missing, or
takes long to load, keeps no other waiting. A model is picked up when it gets its champion, within a poll of the
registry; once it is retired and none of its images wait, it is left.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import cache, partial

from shared import settings
from shared.cores import cores
from shared.domain.identifiers import ModelName
from shared.observability.metrics import DeviceMetrics, PredictMetrics
from shared.queue import keys
from shared.queue.consumer.entries import Entry
from shared.queue.lua import Script, Scripts
from shared.registry.registry_writer import RegistryWriter
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.models.devices import choose_device, device_facts, device_memory, is_gpu
from worker.models.following.canary_mover import CanaryMover
from worker.models.following.order_taker import OrderTaker
from worker.models.following.registry_follower import RegistryFollower
from worker.models.gpu.warming import warm_up_device
from worker.models.registry.mlflow_setup import make_client
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_watch import RegistryWatch
from worker.models.versions.load_attempts import LoadingGate
from worker.models.versions.member_versions import MemberVersions
from worker.models.versions.memory_budget import MemoryBudget, default_limit
from worker.predict.kept_pictures import start_keeping
from worker.predict.leases import LeasedEntries, LeaseKeeper
from worker.predict.polling import poll_lanes
from worker.predict.predict_report import PredictReport
from worker.predict.shadow_rounds import SHADOW_PAUSE, ShadowRounds
from worker.predict.slots import BatchSlots
from worker.predict.watchdog import Watchdog
from worker.process.background_threads import PeriodicThread
from worker.process.startup import Stopped
from worker.process.worker_process import WorkerProcess
from worker.roles.model_parts import ModelParts, SharedParts
from worker.roles.model_service import CHECK_PAUSE, ModelService
from worker.roles.model_services import ModelServices
from worker.roles.order_thread import OrderThread
from worker.roles.standing_aside import StandingAside

log = logging.getLogger(__name__)


class PredictRole:
    """The models of one process, which share its device, its batch slots and its decoder processes."""

    def __init__(self, process: WorkerProcess, *, slots: int) -> None:
        """`slots` is how many micro-batches run at once. Raises SettingsError where a setting can't be used."""
        self._process = process
        self._ended = threading.Event()
        self._predict, self._queue = settings.read(settings.Predict), settings.read(settings.Queue)
        batching, intake = settings.read(settings.Batching), settings.read(settings.Intake)
        self._registry = settings.read(settings.Registry)
        device = choose_device(self._predict.device)
        self._is_gpu = is_gpu(device)
        metrics = PredictMetrics(process.registry)
        DeviceMetrics(process.registry, device, lambda: device_memory(device))
        process.figures.add_fact("device", lambda: device_facts(device))
        budget = MemoryBudget(self._predict.memory or default_limit(device))
        gate = LoadingGate()
        self._slots, self._leased = BatchSlots(slots), LeasedEntries()
        max_pixels = intake.max_image_pixels
        if self._is_gpu:
            threading.Thread(target=warm_up_device, args=(device,), name="warm-device", daemon=True).start()
        at_once = cores() if self._is_gpu else 1  # on a CPU each core has a process of its own
        self._threads = DecodeThreads(at_once)
        self._decoders = DecoderPool(
            max(slots, at_once // 2), longest=self._predict.decode_timeout, max_pixels=max_pixels
        )
        self._watchdog = Watchdog(self._leased, longest=self._predict.timeout, before_end=gate.acquit)
        self._keeper = LeaseKeeper(self._leased, heavy=self._heavy_entries)
        self._scripts = Scripts(process.client)
        self._pictures = start_keeping(process.client, process.registry)
        self._watch: RegistryWatch | None = None
        self._names: list[ModelName] | None = []
        self._services = ModelServices(process.client, make=self._service, is_ending=self._is_ending)
        self._served: dict[ModelName, ModelParts] = {}
        self._followers: dict[ModelName, RegistryFollower] = {}
        self._members = MemberVersions(
            followed=lambda: self._followers,
            client=process.client,
            registry=self._registry,
            predict=self._predict,
            max_batch_size=batching.max_batch_size,
            max_pixels=max_pixels,
            metrics=metrics,
            budget=budget,
            gate=gate,
        )
        self._shared = SharedParts(
            worker=process.name,
            client=process.client,
            registry=self._registry,
            predict=self._predict,
            queue=self._queue,
            batching=batching,
            intake=intake,
            metrics=metrics,
            budget=budget,
            gate=gate,
            members=self._members,
            slots=self._slots,
            leased=self._leased,
            decoders=self._decoders,
            threads=self._threads,
            pictures=self._pictures,
            tracing=process.tracing,
        )
        self._shown_loaded: set[ModelName] = set()
        self._any_served = threading.Event()
        # A fifth of the lease: four renewals may fail before another worker takes an entry over.
        self._renewing = PeriodicThread(
            self._renew, pause=min(self._queue.lease / 5, timedelta(seconds=2)), name="renew"
        )
        self._polling = PeriodicThread(self._poll, pause=self._predict.tick, name="poll")
        self._shadow_rounds = ShadowRounds(process.client)
        self._shadows = PeriodicThread(self._run_shadows, pause=SHADOW_PAUSE, name="shadow")
        # Without a canary a call looks through the tags of the models in memory.
        mover = CanaryMover(self._registry_in_turn(), client=process.client)
        self._orders = OrderThread(OrderTaker(self._registry_in_turn(), client=process.client))
        self._canaries = PeriodicThread(
            lambda: mover.move_all(self._services.seen), pause=timedelta(seconds=1), name="canary"
        )

    def _registry_in_turn(self) -> RegistryInTurn:
        writer = RegistryWriter(cache(partial(make_client, self._registry)))
        return RegistryInTurn(
            RegistryReader(self._registry), writer, client=self._process.client, worker=self._process.name
        )

    def start(
        self,
        models: list[ModelName] | None,
        *,
        consume: Callable[[ModelName], object],
        consume_no_more: Callable[[ModelName], object],
    ) -> None:
        """Serve these models as soon as they can be, each from a thread; of all that have a champion where it is None.

        Returns once one of the named models is served, or at once where none is named: there may be none yet.
        `consume` is called with each model as it is served, `consume_no_more` once it no longer is. Raises Stopped when
        the worker is told to stop before. Closed with the process in this order: nothing more is pulled; what is in
        hand is finished, its leases renewed meanwhile; then followers, lanes and decoders end. A micro-batch may take
        `predict.timeout`, and nobody would be served sooner if another worker computed it again.
        """
        self._names, self._consume, self._consume_no_more = models, consume, consume_no_more
        self._aside = StandingAside(
            self._process.client,
            worker=self._process.name,
            served=self._served,
            consume=consume,
            consume_no_more=consume_no_more,
        )
        self._process.on_close(
            self._decoders.stop,
            self._threads.stop,
            *([self._pictures.stop] if self._pictures else []),
            self._leave_lanes,
            self._stop_following,
            self._renewing.stop,
            self._canaries.stop,
            self._orders.stop,
            self._finish_heavy,
            lambda: self._shadows.stop(patience=self._predict.timeout),
            lambda: self._polling.stop(patience=self._predict.timeout),
            self._ended.set,
        )
        self._watch = RegistryWatch(
            models,
            client=self._process.client,
            settings=self._registry,
            on_read=partial(self._services.choose, names=models),
        )
        self._watch.start()
        while models and not self._any_served.wait(CHECK_PAUSE.total_seconds()):
            if self._process.stopping():
                raise Stopped
        self._renewing.start()
        self._canaries.start()
        self._orders.start()
        self._polling.start()
        self._shadows.start()

    def answer_bell(self, model: ModelName, token: str) -> PredictReport:
        """Predict what waits for a model; nothing where this worker no longer serves it."""
        served = self._served.get(model)
        if served is None:
            return PredictReport(model=model, batch_size=0.0, ms=0.0, images=0, batches=0)
        return served.predictor.answer_bell(token)

    def is_busy(self) -> bool:
        """Tell whether images are in hand that another worker would have to compute again."""
        return bool(self._leased.entries() or self._heavy_entries())

    def _service(self, model: ModelName) -> ModelService:
        if self._watch is None:
            raise RuntimeError("start was not called")
        # On a GPU nobody else has this one, and what a thread that loads costs its images there is not measured.
        while_loading = nullcontext if self._is_gpu else self._aside.while_loading
        parts = self._shared.parts_of(model, read=partial(self._watch.snapshot, model), while_loading=while_loading)
        return ModelService(parts, begin=self._begin, end=self._end, is_ending=self._is_ending)

    def _begin(self, parts: ModelParts) -> None:
        """Take a model's work: called in its service's thread."""
        self._keeper.add(parts.lanes)
        self._served[parts.lanes.model] = parts
        self._followers[parts.lanes.model] = parts.follower
        self._consume(parts.lanes.model)
        self._any_served.set()

    def _end(self, parts: ModelParts) -> None:
        """Take a model's work no more; what is in hand is finished."""
        # In this order, for what `StandingAside` does at the same time.
        self._served.pop(parts.lanes.model, None)
        self._consume_no_more(parts.lanes.model)
        self._followers.pop(parts.lanes.model, None)
        self._keeper.remove(parts.lanes)
        parts.predictor.stop()
        parts.lanes.leave()

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._process.stopping()

    def _models(self) -> list[ModelParts]:
        """Return a copy: a model may begin to be served in another thread meanwhile."""
        return list(self._served.values())

    def _heavy_entries(self) -> list[Entry]:
        predictors = [model.predictor for model in self._models()]
        return [
            entry
            for one in predictors
            for entry in (*one.heavy.entries(), *one.unloaded.entries(), *one.unfinished.entries())
        ]

    def _renew(self) -> None:
        """Renew leases, and sign in Redis for the models whose champion is in memory now, not for those unloaded."""
        self._watchdog.check()
        loaded = {model.lanes.model for model in self._models() if model.follower.has_champion_loaded}
        signs = [keys.loaded(model) for model in sorted(loaded)]
        # Whoever serves no model yet, where none has a champion, has read all of them too.
        if self._names is None and self._has_read_all():
            signs.append(keys.SERVING_ALL)
        if not self._keeper.renew(signs=signs) and signs:
            self._scripts.run(Script.SIGN, tuple(signs), self._process.name)
        for model in self._shown_loaded - loaded:
            self._process.client.zrem(keys.loaded(model), self._process.name)
        self._shown_loaded = loaded

    def _has_read_all(self) -> bool:
        """Tell whether the registry was read and every champion of then is loaded or failed to be."""
        was_read = self._watch is not None and self._watch.was_read
        return was_read and self._services.are_first_read

    def _poll(self) -> None:
        models = [model for model in self._models() if model.lanes.model not in self._aside.models]
        if not models:
            return
        # Polling an idle model takes four round trips, 55 µs of Redis: of 200 models in 64 processes a third of it.
        first, *others = (model.lanes for model in models)
        waiting = first.lanes_with_entries(*others)
        poll_lanes(
            [model.predictor for model in models if model.lanes in waiting],
            slots=self._slots,
            stopped=lambda: self._polling.is_stopped,
        )

    def _run_shadows(self) -> None:
        shadows = {model.lanes.model: model.shadowing for model in self._models()}
        self._shadow_rounds.run(shadows, stopped=lambda: self._shadows.is_stopped)

    def _finish_heavy(self) -> None:
        for model in self._models():
            model.predictor.stop()

    def _stop_following(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._services.stop()
        self._members.clear()

    def _leave_lanes(self) -> None:
        if self._names is None:
            self._process.client.zrem(keys.SERVING_ALL, self._process.name)
        for served in self._models():
            served.lanes.leave()
        for model in self._shown_loaded:
            self._process.client.zrem(keys.loaded(model), self._process.name)
