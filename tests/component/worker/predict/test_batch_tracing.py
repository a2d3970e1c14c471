"""Spans of images, of shadows and of pipelines, as a collector gets them from a predictor on a real Redis."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import ShadowTarget
from shared.observability.tracing.spans import Tracing
from shared.observability.tracing.trace_context import span_id, trace_id
from shared.queue import keys
from shared.queue.consumer.shadow_lane import ShadowLane
from shared.settings import Batching, Queue
from tests.support.leases import LEASE
from tests.support.observations import shadow_metrics
from tests.support.otlp_receiver import Collector, SeenSpan, collecting
from tests.support.pipelines import CHAIN, CROPS, ENSEMBLE, RED, Halves, Members, Send, Shades, picture
from tests.support.predictors import MODEL, VERSION, Make, Pictures, Submit, Versions
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.batch_tracing import BatchTracing
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.shadowing import Shadowing
from worker.predict.slots import BatchSlots

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
SHADOW = "4-b"


@dataclass(frozen=True)
class Traced:
    """A process' spans, and the collector that they are sent to."""

    spans: Tracing
    collector: Collector

    def all(self) -> list[SeenSpan]:
        """Send what was made; return all that came, in the order of their beginnings."""
        self.spans.close()
        return sorted(self.collector.spans, key=lambda one: (one.begun, -one.ended))


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield Traced(Tracing(service="worker", instance="one"), collector)


@pytest.fixture
def intake() -> ShadowIntake:
    target = ShadowTarget(champion=VersionKey(VERSION), version=VersionNumber("4"), key=VersionKey(SHADOW), percent=100)
    return ShadowIntake(lambda: target, settings=Queue(lease=LEASE), metrics=shadow_metrics())


@pytest.fixture
def shadowing(redis_client: redis.Redis, decoders: DecoderPool, traced: Traced, intake: ShadowIntake) -> Shadowing:
    return Shadowing(
        ShadowLane(redis_client, model=MODEL, consumer="s", settings=Queue(lease=LEASE)),
        model=MODEL, models=Versions(Pictures(SHADOW)), intake=intake, metrics=shadow_metrics(),
        limits=Limits(Batching(), max_pixels=10_000_000, turn=timedelta(milliseconds=30)), slots=BatchSlots(1),
        leased=LeasedEntries(), decoders=decoders, threads=DecodeThreads(1),
        tracing=BatchTracing(traced.spans, model=MODEL, shadow=True),
    )  # fmt: skip


def test_a_shadows_spans_are_in_the_trace_of_the_request_and_its_micro_batch_links_it(
    submit: Submit, predictor: Make, shadowing: Shadowing, intake: ShadowIntake, traced: Traced
) -> None:
    for number, trace in zip((7, 8, 9), (TRACE, None, UNSAMPLED), strict=True):
        submit(number, trace=trace)
    predictor(Pictures(), shadow=intake).poll()
    while shadowing.run_pass([MODEL]):
        pass
    spans = traced.all()
    of_request = {one.name: one for one in spans if one.trace_id == trace_id(TRACE)}
    predict = of_request["shadow predict m"]
    assert {name: one.parent for name, one in of_request.items()} == {
        "shadow queue m": span_id(TRACE),
        "shadow predict m": span_id(TRACE),
        "decode": predict.id,
        "forward": predict.id,
    }
    assert predict.attributes["darkroom.version"] == SHADOW
    assert of_request["shadow queue m"].ended == predict.begun
    [batch] = [one for one in spans if one.name == "shadow process m"]
    assert (batch.links, predict.links) == ([(trace_id(TRACE), span_id(TRACE))], [batch.context])
    assert {one.trace_id for one in spans} == {trace_id(TRACE), batch.trace_id}


def test_a_shadows_image_has_a_trace_only_where_its_request_had_one(
    redis_client: redis.Redis, submit: Submit, predictor: Make, intake: ShadowIntake
) -> None:
    submit(7, trace=TRACE)
    submit(8)
    predictor(Pictures(), shadow=intake).poll()
    kept = [fields.get(b"trace") for _, fields in redis_client.xrange(keys.shadow_lane(MODEL))]
    assert kept == [TRACE.encode(), None]


@pytest.mark.parametrize(
    ("definition", "first", "steps"),
    [
        (ENSEMBLE, Shades(), ["decode", "forward"]),
        (CHAIN, Shades(), ["decode", "forward", "then"]),
        (CROPS, Halves(), ["decode", "forward", "then"]),
    ],
    ids=["an ensemble", "a chain", "crops"],
)
def test_a_pipelines_steps_are_spans_of_its_picture(
    send: Send, predictor: Make, traced: Traced, definition: dict[str, object], first: Shades, steps: list[str]
) -> None:
    send(definition, picture(RED), trace=TRACE)
    worker = predictor(members=Members(m=first, b=Shades()), tracing=BatchTracing(traced.spans, model=MODEL))
    for _ in range(3):
        worker.poll()
    worker.stop()
    spans = traced.all()
    [predict] = [one for one in spans if one.name == "predict m"]
    assert (predict.trace_id, predict.parent) == (trace_id(TRACE), span_id(TRACE))
    children = [one for one in spans if one.parent == predict.id]
    assert [one.name for one in children] == steps
    assert all(predict.begun <= one.begun <= one.ended <= predict.ended for one in children)


def test_a_picture_whose_condition_is_not_met_has_no_second_step(send: Send, predictor: Make, traced: Traced) -> None:
    send(CHAIN, picture((0, 0, 0)), trace=TRACE)
    worker = predictor(members=Members(m=Shades(), b=Shades()), tracing=BatchTracing(traced.spans, model=MODEL))
    worker.poll()
    worker.stop()
    assert {one.name for one in traced.all() if one.trace_id == trace_id(TRACE)} == {
        "queue m", "predict m", "decode", "forward",
    }  # fmt: skip
