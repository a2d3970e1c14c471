"""What serves one model in a worker process, made from what all models of the process share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from shared import settings
from shared.domain.identifiers import ModelName
from shared.observability.metrics import ModelMetrics, PredictMetrics, ShadowMetrics
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.shadow_lane import ShadowLane
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.models.following.registry_follower import RegistryFollower
from worker.models.registry.registry_snapshot import RegistrySnapshot
from worker.models.versions.load_attempts import LoadingGate
from worker.models.versions.member_versions import MemberVersions
from worker.models.versions.memory_budget import MemoryBudget
from worker.predict.batch_observer import BatchObserver
from worker.predict.batch_tracing import UNTRACED, BatchTracing
from worker.predict.kept_pictures import KeptPictures, ModelPictures
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.predictor import Predictor
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.shadowing import Shadowing
from worker.predict.slots import BatchSlots

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Tracing


@dataclass(frozen=True, slots=True)
class ModelParts:
    """One model's parts in this process."""

    follower: RegistryFollower
    lanes: Lanes
    predictor: Predictor
    shadowing: Shadowing


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What the models of one process share, its settings among it; makes each model's parts."""

    worker: str
    client: redis.Redis
    registry: settings.Registry
    predict: settings.Predict
    queue: settings.Queue
    batching: settings.Batching
    intake: settings.Intake
    metrics: PredictMetrics
    budget: MemoryBudget
    gate: LoadingGate
    members: MemberVersions
    slots: BatchSlots
    leased: LeasedEntries
    decoders: DecoderPool
    threads: DecodeThreads
    pictures: KeptPictures | None
    tracing: "Tracing | None"

    def parts_of(
        self,
        model: ModelName,
        *,
        read: Callable[[], RegistrySnapshot],
        while_loading: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> ModelParts:
        """Return new parts of a model, nothing of which is started; `read`, `while_loading`: see RegistryFollower."""
        limits = Limits(
            self.batching,
            self.intake.max_image_pixels,
            turn=self.predict.turn,
            longest=self.predict.timeout,
            longest_load=self.predict.load_timeout,
        )
        follower = RegistryFollower(
            model,
            worker=self.worker,
            client=self.client,
            registry=self.registry,
            predict=self.predict,
            usual=limits.tuning(),
            max_pixels=self.intake.max_image_pixels,
            metrics=self.metrics,
            budget=self.budget,
            gate=self.gate,
            read=read,
            while_loading=while_loading,
        )
        pictures = None if self.pictures is None else ModelPictures(model, self.pictures, lambda: follower.keep_rule)
        lanes = Lanes(self.client, model=model, consumer=self.worker, settings=self.queue)
        shadow_metrics = ShadowMetrics(self.metrics, model)
        intake = ShadowIntake(lambda: follower.shadow, settings=self.queue, metrics=shadow_metrics)
        predictor = Predictor(
            model=model,
            worker=self.worker,
            lanes=lanes,
            models=follower,
            members=self.members,
            limits=limits,
            tuning=lambda: follower.tuning,
            leaves_to_others=follower.leaves_to_others,
            slots=self.slots,
            leased=self.leased,
            observer=BatchObserver(
                lanes, ModelMetrics(self.metrics, model), on_results=_on_results(follower, pictures)
            ),
            decoders=self.decoders,
            threads=self.threads,
            shadow=intake,
            tracing=UNTRACED if self.tracing is None else BatchTracing(self.tracing, model=model),
        )
        shadowing = Shadowing(
            ShadowLane(self.client, model=model, consumer=self.worker, settings=self.queue),
            model=model,
            models=follower,
            intake=intake,
            limits=limits,
            slots=self.slots,
            leased=self.leased,
            metrics=shadow_metrics,
            decoders=self.decoders,
            threads=self.threads,
            on_disagreement=pictures.keep_disagreement if pictures else lambda *_: None,
            tracing=UNTRACED if self.tracing is None else BatchTracing(self.tracing, model=model, shadow=True),
        )
        return ModelParts(follower, lanes, predictor, shadowing)


def _on_results(follower: RegistryFollower, pictures: ModelPictures | None) -> Callable[[Sequence[Result]], object]:
    """Return what is called with the results of each micro-batch, before they are finished."""
    trial = follower.trial_results.add
    if pictures is None:
        return trial

    def add(results: Sequence[Result]) -> None:
        trial(results)
        pictures.add(results)

    return add
