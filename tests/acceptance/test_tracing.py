"""Traces of a running stack, as a collector gets them. Its own stack: the shared one's tracing is off.

Over 300 lines: a second file would be a second stack.
"""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cli.stack.ports import free_port
from shared.observability.tracing.spans import SCHEMA_URL
from tests.support.api_client import Door
from tests.support.batches import Json, accepted, ended, send_images
from tests.support.breakable_stack import undecodable
from tests.support.extra_processes import GatewayByHand
from tests.support.otlp_receiver import Collector, SeenSpan, collecting
from tests.support.pictures import renewed
from tests.support.prepared_homes import up_with_digits
from tests.support.program_forks import Forked
from tests.support.receivers import receiving
from tests.support.stack import Stack
from tests.support.waiting import until

CLIENT_SPAN = "00f067aa0ba902b7"
REQUEST, QUEUE, PREDICT, RECORD = "POST /v1/predictions", "queue digits", "predict digits", "record"
RETRY, GIVE = "POST /v1/predictions/{id}/retry", "POST /v1/predictions/{id}/feedback"
STARTED, DELIVERED = "deliver prediction start", "deliver prediction completed"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """A running stack whose processes send their spans ten times a second."""
    environment = {
        "DARKROOM_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "DARKROOM_QUEUE_LEASE": "2",
    }
    home = tmp_path_factory.mktemp("traced") / "home"
    stack = Stack(home, port=free_port(), environment=environment, forked=Forked.ALL)
    try:
        up_with_digits(stack, tmp_path_factory)
        yield stack
    finally:
        stack.down()


@pytest.fixture
def traced_door(traced: Stack) -> Iterator[Door]:
    with Door(traced) as door:
        yield door


@pytest.fixture
def scan(traced: Stack) -> bytes:
    """A picture that has no answer in the cache."""
    return renewed(traced.images[0].read_bytes())


def new_trace(*, sampled: bool = True) -> tuple[str, dict[str, str]]:
    """Return the id of a new trace, and the headers that a client sends within it."""
    id = f"4bf92f3577b34da6a3ce929d{next(_numbers):08x}"
    return id, {"traceparent": f"00-{id}-{CLIENT_SPAN}-0{int(sampled)}", "tracestate": "vendor=1", "Prefer": "wait=60"}


def test_one_prediction_is_one_tree_from_the_clients_span_to_the_webhooks_header(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    id, headers = new_trace()
    with receiving() as receiver:
        answer = traced_door.submit(scan, headers=headers, webhook=receiver.url)
        assert answer.status_code == 200, answer.text
        came = {one.json["status"]: one for one in receiver.wait_for(2)}
    prediction = answer.json()["id"]
    spans = collector.of_trace(id, REQUEST, QUEUE, PREDICT, "decode", "forward", RECORD, STARTED, DELIVERED)
    request, predict = spans[REQUEST], spans[PREDICT]

    parents = {name: span.parent for name, span in spans.items()}
    assert parents == {REQUEST: CLIENT_SPAN, "decode": predict.id, "forward": predict.id} | dict.fromkeys(
        (QUEUE, PREDICT, RECORD, STARTED, DELIVERED), request.id
    )
    kinds = {name: span.kind for name, span in spans.items() if span.kind != "internal"}
    assert kinds == {REQUEST: "server", PREDICT: "consumer", STARTED: "client", DELIVERED: "client"}
    assert {span.service for span in spans.values()} == {"darkroom-gateway", "darkroom-worker"}
    assert {span.schema_url for span in spans.values()} == {SCHEMA_URL}
    assert not any(span.failed for span in spans.values())

    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["darkroom.prediction_id"] == prediction
    assert spans[RECORD].attributes["darkroom.prediction_id"] == prediction
    assert spans[DELIVERED].attributes["darkroom.outcome"] == "delivered"
    order = [spans[QUEUE].ended, spans["decode"].begun, spans["decode"].ended, spans["forward"].begun]
    assert order == sorted(order)
    assert spans[QUEUE].ended == predict.begun <= spans["decode"].begun
    assert spans["forward"].ended <= predict.ended <= spans[RECORD].ended

    for status, name in (("processing", STARTED), ("succeeded", DELIVERED)):
        assert came[status].headers["traceparent"] == f"00-{id}-{spans[name].id}-01"
        assert came[status].headers["tracestate"] == "vendor=1"


def test_a_micro_batchs_span_links_its_images_and_they_link_it(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    traces = dict(new_trace() for _ in range(3))
    with traced_door.workers_stopped():
        for headers in traces.values():
            scan = renewed(scan)
            assert traced_door.submit(scan, headers=headers | {"Prefer": ""}).status_code == 202
    requests, predicted = [], []
    for id in traces:
        spans = collector.of_trace(id, REQUEST, PREDICT)
        requests.append(spans[REQUEST].context)
        predicted.append(spans[PREDICT])
    for batch in batches_of(collector, predicted):
        of_it = [span for span in predicted if span.links == [batch.context]]
        assert batch.kind == "consumer"
        assert batch.parent == ""
        assert batch.trace_id not in traces
        assert batch.attributes["messaging.batch.message_count"] == len(of_it)
        assert batch.attributes["messaging.destination.name"] == "digits"
        assert {(span.trace_id, span.parent) for span in of_it} == set(batch.links)
        steps = collector.of_trace(batch.trace_id, "decode", "forward")
        assert {steps["decode"].parent, steps["forward"].parent} == {batch.id}


def batches_of(collector: Collector, predicted: list[SeenSpan]) -> list[SeenSpan]:
    """Return the spans of the micro-batches that these images link."""
    linked = {link for span in predicted for link in span.links}
    spans = collector.wait_until(lambda spans: linked <= {one.context for one in spans})
    found = [one for one in spans if one.context in linked]
    assert {one.name for one in found} == {"process digits"}
    return found


def test_a_client_that_does_not_sample_gets_no_spans_and_its_trace_back(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    id, headers = new_trace(sampled=False)
    with receiving() as receiver:
        traced_door.submit(scan, headers=headers, webhook=receiver.url)
        came = receiver.wait_for(2)
    assert {one.headers["traceparent"][:35] for one in came} == {f"00-{id}"}
    assert {one.headers["traceparent"][-2:] for one in came} == {"00"}
    later, headers = new_trace()
    traced_door.submit(renewed(scan), headers=headers)
    collector.of_trace(later, RECORD)
    assert not [one.name for one in collector.spans if one.trace_id == id]


def test_a_malformed_traceparent_changes_nothing(traced_door: Door, collector: Collector, scan: bytes) -> None:
    headers = {"traceparent": "00-nonsense-01", "tracestate": ",,,=", "Prefer": "wait=60"}
    prediction = traced_door.submit(scan, headers=headers).json()
    assert prediction["status"] == "succeeded"
    spans = collector.wait_until(lambda spans: bool(requests_about(spans, prediction["id"])))
    [request] = requests_about(spans, prediction["id"])
    assert request.parent == ""
    collector.of_trace(request.trace_id, QUEUE, PREDICT, RECORD)


def requests_about(spans: list[SeenSpan], prediction: str) -> list[SeenSpan]:
    return [one for one in spans if one.name == REQUEST and one.attributes.get("darkroom.prediction_id") == prediction]


def test_an_image_that_others_wait_for_has_the_wait_in_each_trace(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    (first, to_first), (second, to_second), (cached, to_cached) = new_trace(), new_trace(), new_trace()
    with traced_door.workers_stopped():
        for headers in (to_first, to_second):
            assert traced_door.submit(scan, headers=headers | {"Prefer": ""}).status_code == 202
    collector.of_trace(first, QUEUE, PREDICT, RECORD)
    joined = collector.of_trace(second, QUEUE, RECORD)
    assert joined[RECORD].attributes["darkroom.source"] == "coalesced"
    assert joined[QUEUE].parent == joined[REQUEST].id
    assert PREDICT not in joined
    traced_door.submit(scan, headers=to_cached)
    assert collector.of_trace(cached, RECORD, REQUEST).keys() == {RECORD, REQUEST}


def test_a_failed_image_fails_its_span_and_its_log_line_has_the_ids(
    traced: Stack, traced_door: Door, collector: Collector
) -> None:
    id, headers = new_trace()
    prediction = traced_door.submit(undecodable(), headers=headers).json()
    assert prediction["status"] == "failed"
    spans = collector.of_trace(id, REQUEST, PREDICT, RECORD)
    assert spans[PREDICT].failed
    assert spans[PREDICT].attributes["error.type"] == "undecodable_image"
    assert spans[RECORD].attributes["darkroom.error_code"] == "undecodable_image"

    def lines() -> list[dict[str, str]]:
        found = (line for log in (traced.home / "logs").glob("predict*") for line in log.read_text().splitlines())
        return [json.loads(line) for line in found if prediction["id"] in line and "image_failed" in line]

    [line] = until(lines, what="the line of the image that failed")
    assert (line["event"], line["trace_id"], line["span_id"]) == ("image_failed", id, spans[REQUEST].id)


def test_a_batch_is_one_trace_whose_items_micro_batches_link_its_upload(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    id, headers = new_trace()
    files = [(f"{number}.png", scan := renewed(scan)) for number in range(20)]
    with receiving() as receiver:
        sent = send_images(traced_door.http, files, headers=headers | {"Prefer": ""}, data={"webhook": receiver.url})
        batch = ended(traced_door.http, accepted(sent)["id"])
        [came] = receiver.wait_for(1)
    assert batch["request_counts"]["succeeded"] == 20
    spans = collector.of_trace(id, "POST /v1/batches", "deliver batch completed")
    assert spans.keys() == {"POST /v1/batches", "deliver batch completed"}
    upload, delivery = spans["POST /v1/batches"], spans["deliver batch completed"]
    assert delivery.parent == upload.id
    assert came.headers["traceparent"] == f"00-{id}-{delivery.id}-01"
    linking = [one for one in collector.spans if upload.context in one.links]
    assert {one.name for one in linking} == {"process digits"}
    assert sum(one.attributes["messaging.batch.message_count"] for one in linking) >= 20


def test_a_retry_links_the_request_that_it_repeats(traced_door: Door, collector: Collector) -> None:
    (first, to_first), (second, to_second) = new_trace(), new_trace()
    failed = traced_door.submit(undecodable(), headers=to_first).json()
    assert failed["status"] == "failed"
    again = traced_door.http.post(f"/v1/predictions/{failed['id']}/retry", headers=to_second).json()
    assert again["retry_of"] == failed["id"]
    earlier = collector.of_trace(first, REQUEST, RECORD)
    spans = collector.of_trace(second, RETRY, QUEUE, PREDICT, RECORD)
    assert spans[RETRY].links == [earlier[REQUEST].context]
    assert {spans[name].parent for name in (QUEUE, PREDICT, RECORD)} == {spans[RETRY].id}
    assert earlier[REQUEST].links == []


def test_feedbacks_webhook_is_in_the_trace_of_who_gave_it_and_carries_nothing_else_on(
    traced_door: Door, collector: Collector, scan: bytes
) -> None:
    (_, to_first), (second, to_second) = new_trace(), new_trace()
    unwanted = {"baggage": "user=7", "b3": "1", "uber-trace-id": "1:1:0:1", "tracestate": "a=1,a=2"}
    with receiving() as receiver:
        hook = {"webhook": receiver.url, "webhook_events_filter": "feedback"}
        prediction = traced_door.submit(scan, headers=to_first, **hook).json()
        given = traced_door.http.post(
            f"/v1/predictions/{prediction['id']}/feedback", json={"label": "7"}, headers=to_second | unwanted
        )
        assert given.status_code == 201, given.text
        [came] = receiver.wait_for(1)
    spans = collector.of_trace(second, GIVE, "deliver feedback feedback")
    delivery = spans["deliver feedback feedback"]
    assert delivery.parent == spans[GIVE].id
    assert came.headers["traceparent"] == f"00-{second}-{delivery.id}-01"
    assert not unwanted.keys() & came.headers.keys()


def predicted_by(gateway: GatewayByHand, image: bytes, headers: dict[str, str]) -> Json:
    answer = httpx.post(
        f"{gateway.url}/v1/predictions", content=image, headers=headers | {"Content-Type": "image/png"}, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_a_gateway_without_tracing_carries_the_clients_trace_on(
    traced: Stack, collector: Collector, scan: bytes
) -> None:
    id, headers = new_trace()
    gateway = GatewayByHand(traced, DARKROOM_TRACING_ENABLED="false")
    gateway.begin()
    try:
        answer = predicted_by(gateway, scan, headers)
        assert answer["status"] == "succeeded"
    finally:
        gateway.close()
    spans = collector.of_trace(id, QUEUE, PREDICT, RECORD)
    assert {spans[name].parent for name in (QUEUE, PREDICT, RECORD)} == {CLIENT_SPAN}
    assert REQUEST not in spans


def test_a_collector_that_is_not_there_loses_and_delays_no_image(traced: Stack, scan: bytes) -> None:
    gateway = GatewayByHand(
        traced,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_BSP_MAX_QUEUE_SIZE="2",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1",
    )
    gateway.begin()
    try:
        for _ in range(10):
            scan = renewed(scan)
            assert predicted_by(gateway, scan, new_trace()[1])["status"] == "succeeded"
    finally:
        gateway.close()


def test_a_worker_that_is_killed_loses_its_spans_and_no_image(
    traced: Stack, traced_door: Door, collector: Collector, scan: bytes
) -> None:
    scans = [scan := renewed(scan) for _ in range(60)]
    traces = [new_trace() for _ in scans]
    with ThreadPoolExecutor(4) as pool:
        sent = pool.map(
            lambda one: traced_door.submit(one[0], headers=one[1][1] | {"Prefer": ""}).json()["id"],
            zip(scans, traces, strict=True),
        )
        first = next(sent)
        for pid in traced.pids("predict"):
            os.kill(pid, signal.SIGKILL)
        ids = [first, *sent]
    traced.wait_until_ready()
    assert {traced_door.ended(id)["status"] for id in ids} == {"succeeded"}
    for id, _ in traces:
        collector.of_trace(id, REQUEST, RECORD)
