import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cli.status.scraping import SHOWN, Scrape, Series, parse_metrics, scrape_all
from shared.observability.metrics import (
    GatewayMetrics,
    LaneState,
    ModelMetrics,
    PredictMetrics,
    QueueMetrics,
    QueueState,
    RecordMetrics,
    ShadowMetrics,
    new_registry,
)

SOON = timedelta(seconds=0.3)


def exported() -> CollectorRegistry:
    """A registry with a value for every metric that `status` shows."""
    registry = new_registry()
    GatewayMetrics(registry).submissions.labels("digits", "cached").inc(3)
    predict = PredictMetrics(registry)
    metrics = ModelMetrics(predict, "digits")
    ShadowMetrics(predict, "digits").skip("heavy", 2)
    RecordMetrics(registry).shadow.labels("digits", "2", "succeeded", "yes").inc()
    metrics.batch_size.observe(16)
    metrics.count(["succeeded"] * 16)
    lane = LaneState(model="digits", lane="bulk", entries=5, bytes=1, oldest=timedelta(seconds=2))
    state = QueueState(
        lanes=[lane],
        shadow_entries={"digits": 0},
        workers={"digits": 2},
        finished=1,
        recorder_lag=timedelta(seconds=1),
        memory_used_bytes=9,
        memory_limit_bytes=0,
        redis_cpu_seconds=1.0,
        silence={},
        bells={},
    )
    QueueMetrics(registry, lambda: state)
    return registry


@contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def answering(body: bytes, *, status: int = 200) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_every_shown_metric_is_exported_under_its_name() -> None:
    values = parse_metrics(generate_latest(exported()).decode())
    assert {series.name for series in values} == set(SHOWN)
    assert values[Series("darkroom_submissions_total", (("model", "digits"), ("outcome", "cached")))] == 3
    assert values[Series("darkroom_batch_size_sum", (("model", "digits"),))] == 16
    assert values[Series("darkroom_lane_oldest_age_seconds", (("lane", "bulk"), ("model", "digits")))] == 2


def test_labels_are_read_as_they_were_written() -> None:
    registry = CollectorRegistry()
    GatewayMetrics(registry).submissions.labels('a "b"\\n\n', "queued").inc()
    (series,) = parse_metrics(generate_latest(registry).decode())
    assert series.by == {"model": 'a "b"\\n\n', "outcome": "queued"}


def test_each_answer_is_returned_under_its_name() -> None:
    with serving(answering(b"darkroom_queue_visible 1.0\n")) as one, serving(answering(b"")) as two:
        assert scrape_all({"one": one, "two": two}) == {
            "one": Scrape({Series("darkroom_queue_visible"): 1.0}),
            "two": Scrape(),
        }
    assert scrape_all({}) == {}


@pytest.mark.parametrize(
    ("body", "status", "trouble"),
    [
        (b"no", 404, "answers 404"),
        (b'darkroom_queue_visible{"', 200, "answers something else"),
        (b"\xff", 200, "answers something else"),
    ],
)
def test_an_invalid_answer_is_reported_as_an_error(body: bytes, status: int, trouble: str) -> None:
    with serving(answering(body, status=status)) as url:
        found = scrape_all({"one": url})["one"]
    assert found == Scrape(trouble=trouble)


def test_processes_that_do_not_answer_are_awaited_in_parallel() -> None:
    with ExitStack() as stack:
        urls = {}
        for name in ("deaf1", "deaf2", "deaf3"):
            # It accepts connections and never answers, like a suspended process.
            deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            urls[name] = f"http://127.0.0.1:{deaf.getsockname()[1]}/metrics"
        urls["gone"] = "http://127.0.0.1:1/metrics"
        urls["there"] = stack.enter_context(serving(answering(b"darkroom_queue_visible 0\n")))
        began = time.monotonic()
        found = scrape_all(urls, patience=SOON)
        took = time.monotonic() - began
    assert took < 2 * SOON.total_seconds()
    assert {found[f"deaf{number}"].trouble for number in (1, 2, 3)} == {"no answer within 0.3 s"}
    assert found["gone"].trouble == "no answer (ConnectionRefusedError)"
    assert found["there"].values == {Series("darkroom_queue_visible"): 0.0}
