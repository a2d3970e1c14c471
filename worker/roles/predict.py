"""A predict worker's models, each by itself: one that is missing, or loads for long, keeps no other waiting."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import redis
from prometheus_client import CollectorRegistry

from shared import settings
from shared.domain.identifiers import ModelName
from shared.observability.metrics import DeviceMetrics, ModelMetrics, PredictMetrics
from shared.queue.consumer.lanes import Lanes
from worker.models.loaded_model import choose_device, device_memory
from worker.models.registry_follower import RegistryFollower
from worker.predict.batch_observer import BatchObserver
from worker.predict.heavy_images import DecoderPool
from worker.predict.leases import BatchSlots, LeasedEntries
from worker.predict.predictor import Limits, Predictor
from worker.process.background_threads import vital_thread
from worker.process.startup import Stopped, wait_for_redis
from worker.process.ticking import PeriodicThread

log = logging.getLogger(__name__)

STUCK_EXIT: Final = 70
LOOK: Final = timedelta(seconds=0.5)


class Predicting:
    """The models of one process: `predictors` has those that are served by now."""

    def __init__(
        self, registry: CollectorRegistry, client: redis.Redis, *, name: str, slots: int, stopping: Callable[[], bool]
    ) -> None:
        """Raise SettingsError where a setting can't be used."""
        self.predictors: dict[ModelName, Predictor] = {}
        self._client = client
        self._name = name
        self._stopping = stopping
        self._ended = threading.Event()
        self._predict, self._queue = settings.read(settings.Predict), settings.read(settings.Queue)
        self._batching, self._intake = settings.read(settings.Batching), settings.read(settings.Intake)
        self._registry = settings.read(settings.Registry)
        self._turns, self._in_hand = BatchSlots(slots), LeasedEntries()
        self._metrics, device = PredictMetrics(registry), choose_device(self._predict.device)
        DeviceMetrics(registry, device, lambda: device_memory(device))
        self._decoders = DecoderPool(
            slots, longest=self._predict.decode_timeout, max_pixels=self._intake.max_image_pixels
        )
        self._lanes: list[Lanes] = []
        self._followers: list[RegistryFollower] = []
        self._served = threading.Event()
        # A fifth of the lease: four renewals may fail before anybody takes an entry over.
        self._renewing = PeriodicThread(
            self._renew, pause=min(self._queue.lease / 5, timedelta(seconds=2)), name="renew"
        )
        self._looking = PeriodicThread(self._look, pause=self._predict.tick, name="look")

    def start(self, models: list[ModelName], *, consume: Callable[[ModelName], object]) -> None:
        """Return when one of the models is served, and serve the others as soon as they can be, each in a thread.

        `consume` is called with each as it is served. Raises Stopped when the worker is told to stop before.
        """
        for model in models:
            vital_thread(partial(self._serve, model, consume), name=f"serve-{model}").start()
        while not self._served.wait(LOOK.total_seconds()):
            if self._stopping():
                raise Stopped
        self._renewing.start()
        self._looking.start()

    def closers(self) -> list[Callable[[], None]]:
        """Return what stops it, to be called in reverse.

        First nothing more is pulled, then what is in hand ends, its leases renewed meanwhile. A batch may take
        `predict.timeout`, and nobody is served sooner by its being computed again.
        """
        return [
            self._decoders.stop,
            self._leave,
            self._stop_following,
            self._renewing.stop,
            self._stop_heavy,
            lambda: self._looking.stop(patience=self._predict.timeout),
            self._ended.set,
        ]

    def is_busy(self) -> bool:
        """Tell whether images are in hand that would have to be computed again."""
        return bool(self._in_hand.entries() or any(one.heavy.entries() for one in list(self.predictors.values())))

    def _stop_heavy(self) -> None:
        for predictor in list(self.predictors.values()):
            predictor.heavy.stop()

    def _stop_following(self) -> None:
        for follower in list(self._followers):
            follower.stop()

    def _leave(self) -> None:
        for lanes in list(self._lanes):
            lanes.leave()

    def _serve(self, model: ModelName, consume: Callable[[ModelName], object]) -> None:
        """Load what a model's aliases name, however long its registry or its Redis is away, then take its work.

        A worker that took work before would fail it for a registry that is merely late.
        """
        follower = RegistryFollower(
            model,
            client=self._client,
            registry=self._registry,
            predict=self._predict,
            max_batch_size=self._batching.max_batch_size,
            metrics=self._metrics,
        )
        self._followers.append(follower)
        follower.start()
        while not follower.wait_until_followed(longest=LOOK):
            if self._is_ending():
                return
        lanes = Lanes(self._client, model=model, consumer=self._name, settings=self._queue)
        # Says that it is there, which people who start a stack wait for.
        try:
            wait_for_redis(lanes.sign_of_life, stopping=self._is_ending)
        except Stopped:
            return
        self._lanes.append(lanes)
        self.predictors[model] = Predictor(
            model=model,
            worker=self._name,
            lanes=lanes,
            models=follower,
            limits=Limits(self._batching, self._intake.max_image_pixels, self._predict.turn),
            turns=self._turns,
            in_hand=self._in_hand,
            observer=BatchObserver(lanes, ModelMetrics(self._metrics, model)),
            decoders=self._decoders,
        )
        log.info("model_served", extra={"model": model})
        consume(model)
        self._served.set()

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._stopping()

    def _renew(self) -> None:
        if self._in_hand.longest() > self._predict.timeout:
            log.critical("batch_stuck", extra={"seconds": self._in_hand.longest().total_seconds()})
            os._exit(STUCK_EXIT)
        heavy = [entry for predictor in list(self.predictors.values()) for entry in predictor.heavy.entries()]
        lanes = list(self._lanes)
        lanes[0].renew(self._in_hand.entries() + heavy)
        for one in lanes:
            one.sign_of_life()

    def _look(self) -> None:
        # Until a bell comes, whose thread goes on: two would only wait for each other.
        for predictor in list(self.predictors.values()):
            while not self._turns.busy and not self._looking.is_stopped and predictor.run("")["images"]:
                pass
