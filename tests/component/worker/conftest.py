"""Fixtures that submit pictures and make predictors for them, on the test's Redis."""

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.domain.identifiers import ANYONE, Digest, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.model_route import Choice
from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, source
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import Submission, is_staged, prepared, submit_command
from shared.settings import Batching, Queue
from tests.simulation.pictures import picture
from tests.support.leases import LEASE
from tests.support.observations import observer
from tests.support.predictors import MODEL, VERSION, AnyMembers, Pictures, Versions
from tests.support.waiting import PATIENCE
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.batch_tracing import UNTRACED, Untraced
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.model_protocols import Members
from worker.predict.predictor import Predictor
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.slots import BatchSlots

MAX_PIXELS = 10_000_000


@pytest.fixture
def submit(redis_client: redis.Redis) -> Callable[..., str]:
    """Submit a picture: `submit(number, version="3-a", data=None, lane="interactive")`; returns the id."""
    redis_client.script_load(source(Script.SUBMIT))

    def submit(
        number: int,
        *,
        version: str = VERSION,
        data: bytes | None = None,
        lane: str = keys.INTERACTIVE,
        variant: str = "champion",
        trace: str | None = None,
    ) -> str:
        data = data or picture(number)
        digest = Digest(hashlib.sha256(data).hexdigest())
        submission = Submission(
            id=PredictionId(new_uuid7()),
            owner=ANYONE,
            choice=Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey(version), variant=variant),
            image=data,
            facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(data), filename=None),
            metadata={},
            base_url="",
            lane=lane,
            trace=trace,
        )
        if is_staged(data, Queue()):
            redis_client.execute_command(*stage_command(submission))
        job = prepared(submission)
        redis_client.execute_command(*submit_command(job, settings=Queue(), memory_is_high=False))
        return submission.id

    return submit


@pytest.fixture
def decoders() -> Iterator[DecoderPool]:
    """A pool of two decoder processes, ended after the test."""
    decoders = DecoderPool(2, longest=PATIENCE, max_pixels=MAX_PIXELS)
    yield decoders
    decoders.stop()


@pytest.fixture
def predictor(redis_client: redis.Redis, decoders: DecoderPool) -> Callable[..., Predictor]:
    """Make a worker's predictor of these versions; a task takes one micro-batch. Keywords are settings of batching."""

    def make(  # noqa: PLR0913  what a worker has one of, and what a test changes of it
        *models: Pictures,
        worker: str = "w",
        leased: LeasedEntries | None = None,
        slots: BatchSlots | None = None,
        turn: timedelta = timedelta(0),
        registry: CollectorRegistry | None = None,
        members: Members | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shadow: ShadowIntake | None = None,
        lease: timedelta = LEASE,
        tracing: Untraced = UNTRACED,
        leaves_to_others: Callable[[VersionKey], bool] = lambda _: False,
        **batching: Any,
    ) -> Predictor:
        lanes = Lanes(redis_client, model=MODEL, consumer=worker, settings=Queue(lease=lease, max_attempts=3))
        return Predictor(
            model=MODEL, worker=worker, lanes=lanes, models=Versions(*models),
            members=members or AnyMembers(Versions(*models)),
            limits=Limits(Batching(**batching), max_pixels=MAX_PIXELS, turn=turn),
            slots=slots or BatchSlots(1), leased=leased or LeasedEntries(), monotonic=monotonic,
            observer=observer(lanes, registry), decoders=decoders, threads=DecodeThreads(1), shadow=shadow,
            tracing=tracing, leaves_to_others=leaves_to_others,
        )  # fmt: skip

    return make
