"""The predict role (`-Q predict.<model>`): follows each model in the registry and predicts what is in its lanes.

Each model is served by itself: one that is missing, or takes long to load, keeps no other waiting.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from shared import settings
from shared.domain.identifiers import ModelName
from shared.observability.metrics import DeviceMetrics, ModelMetrics, PredictMetrics
from shared.queue.consumer.entries import Entry
from shared.queue.consumer.lanes import Lanes
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.models.devices import choose_device, cores, device_memory, is_gpu
from worker.models.gpu.warming import warm_up_device
from worker.models.registry_follower import RegistryFollower
from worker.predict.batch_observer import BatchObserver
from worker.predict.leases import LeasedEntries, LeaseKeeper
from worker.predict.polling import poll_lanes
from worker.predict.predictor import Limits, Predictor
from worker.predict.slots import BatchSlots
from worker.predict.watchdog import Watchdog
from worker.process.background_threads import PeriodicThread, vital_thread
from worker.process.garbage import leave_alone_what_is_there
from worker.process.startup import Stopped, wait_for_redis
from worker.process.worker_process import WorkerProcess

log = logging.getLogger(__name__)

CHECK_PAUSE: Final = timedelta(seconds=0.5)
"""How often a thread that waits checks whether the process was told to stop."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of this process, loaded and predicted."""

    lanes: Lanes
    predictor: Predictor


class PredictRole:
    """The models of one process, which share its device, its batch slots and its decoder processes."""

    def __init__(self, process: WorkerProcess, *, slots: int) -> None:
        """`slots` is how many micro-batches run at once. Raises SettingsError where a setting can't be used."""
        self._process = process
        self._ended = threading.Event()
        self._predict, self._queue = settings.read(settings.Predict), settings.read(settings.Queue)
        self._batching, self._intake = settings.read(settings.Batching), settings.read(settings.Intake)
        self._registry = settings.read(settings.Registry)
        device = choose_device(self._predict.device)
        self._metrics = PredictMetrics(process.registry)
        DeviceMetrics(process.registry, device, lambda: device_memory(device))
        self._slots, self._leased = BatchSlots(slots), LeasedEntries()
        max_pixels = self._intake.max_image_pixels
        if is_gpu(device):
            threading.Thread(target=warm_up_device, args=(device,), name="warm-device", daemon=True).start()
        # Beside a GPU the cores have nothing to do but decode; on a CPU each core has a process of its own.
        at_once = cores() if is_gpu(device) else 1
        self._threads = DecodeThreads(at_once)
        self._decoders = DecoderPool(
            max(slots, at_once // 2), longest=self._predict.decode_timeout, max_pixels=max_pixels
        )
        self._watchdog = Watchdog(self._leased, longest=self._predict.timeout)
        self._keeper = LeaseKeeper(self._leased, heavy=self._heavy_entries)
        self._followers: list[RegistryFollower] = []
        self._served: dict[ModelName, ServedModel] = {}
        self._any_served = threading.Event()
        # A fifth of the lease: four renewals may fail before another worker takes an entry over.
        self._renewing = PeriodicThread(
            self._renew, pause=min(self._queue.lease / 5, timedelta(seconds=2)), name="renew"
        )
        self._polling = PeriodicThread(self._poll, pause=self._predict.tick, name="poll")

    def start(self, models: list[ModelName], *, consume: Callable[[ModelName], object]) -> None:
        """Return once one of the models is served; serve the others as soon as they can be, each from a thread.

        `consume` is called with each model as it is served. Raises Stopped when the worker is told to stop before.
        Closed with the process in this order: nothing more is pulled; what is in hand is finished, its leases renewed
        meanwhile; then followers, lanes and decoders end. A micro-batch may take `predict.timeout`, and nobody would be
        served sooner if another worker computed it again.
        """
        self._process.on_close(
            self._decoders.stop,
            self._threads.stop,
            self._leave_lanes,
            self._stop_following,
            self._renewing.stop,
            self._finish_heavy,
            lambda: self._polling.stop(patience=self._predict.timeout),
            self._ended.set,
        )
        for model in models:
            vital_thread(partial(self._serve, model, consume), name=f"serve-{model}").start()
        while not self._any_served.wait(CHECK_PAUSE.total_seconds()):
            if self._process.stopping():
                raise Stopped
        self._renewing.start()
        self._polling.start()

    def predictor(self, model: ModelName) -> Predictor:
        """Return a served model's predictor; KeyError where this worker does not serve it."""
        return self._served[model].predictor

    def is_busy(self) -> bool:
        """Tell whether images are in hand that another worker would have to compute again."""
        return bool(self._leased.entries() or self._heavy_entries())

    def _serve(self, model: ModelName, consume: Callable[[ModelName], object]) -> None:
        """Load what the model's aliases name, however long its registry or Redis is away, then take its work.

        A worker that took work earlier would fail it because of a registry that is merely late.
        """
        follower = RegistryFollower(
            model,
            client=self._process.client,
            registry=self._registry,
            predict=self._predict,
            max_batch_size=self._batching.max_batch_size,
            max_pixels=self._intake.max_image_pixels,
            metrics=self._metrics,
        )
        self._followers.append(follower)
        follower.start()
        while not follower.wait_until_followed(longest=CHECK_PAUSE):
            if self._is_ending():
                return
        leave_alone_what_is_there()
        lanes = Lanes(self._process.client, model=model, consumer=self._process.name, settings=self._queue)
        # Registers the worker as one that serves the model, which `darkroom up` waits for.
        try:
            wait_for_redis(lanes.sign_of_life, stopping=self._is_ending)
        except Stopped:
            return
        predictor = Predictor(
            model=model,
            worker=self._process.name,
            lanes=lanes,
            models=follower,
            limits=Limits(self._batching, self._intake.max_image_pixels, self._predict.turn),
            slots=self._slots,
            leased=self._leased,
            observer=BatchObserver(lanes, ModelMetrics(self._metrics, model)),
            decoders=self._decoders,
            threads=self._threads,
        )
        self._keeper.add(lanes)
        self._served[model] = ServedModel(lanes, predictor)
        log.info("model_served", extra={"model": model})
        consume(model)
        self._any_served.set()

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._process.stopping()

    def _models(self) -> list[ServedModel]:
        """Return a copy: a model may begin to be served in another thread meanwhile."""
        return list(self._served.values())

    def _heavy_entries(self) -> list[Entry]:
        return [entry for model in self._models() for entry in model.predictor.heavy.entries()]

    def _renew(self) -> None:
        self._watchdog.check()
        self._keeper.renew()

    def _poll(self) -> None:
        models = self._models()
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

    def _finish_heavy(self) -> None:
        for model in self._models():
            model.predictor.heavy.stop()

    def _stop_following(self) -> None:
        for follower in list(self._followers):
            follower.stop()

    def _leave_lanes(self) -> None:
        for model in self._models():
            model.lanes.leave()
