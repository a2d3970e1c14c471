"""Every query of Grafana's dashboards has data in a real Prometheus that scraped a stack which has worked.

No GPU is here: the panels about its memory read what the product's own `DeviceMetrics` serves for a device that is made
up. Everything else comes from the stack's processes.
"""

import math
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from cli.stack.ports import free_port
from shared.observability.metrics import DeviceMetrics
from shared.observability.metrics_server import serve_metrics
from shared.settings import Metrics
from tests.support.api_client import MODEL, Door
from tests.support.batches import ended, lines, send_lines
from tests.support.breakable_stack import undecodable
from tests.support.dashboards import PanelQuery, boards, queries, variable_queries
from tests.support.pictures import renewed
from tests.support.prometheus_server import GRAFANA, PROGRAM, PrometheusServer
from tests.support.receivers import receiving
from tests.support.stack import Stack
from tests.support.version_copies import copied_version
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="prometheus is not installed")
JOBS = ("api", "predict", "record", "webhooks")
GIGABYTE = 1 << 30
WINDOW = "5m"


@pytest.fixture(scope="module")
def gpu() -> Iterator[str]:
    """The address of a worker's metrics of its GPU, of 80 GB."""
    registry, port = CollectorRegistry(), free_port()
    memory = {"allocated": 3 * GIGABYTE, "reserved": 8 * GIGABYTE, "free": 70 * GIGABYTE, "total": 80 * GIGABYTE}
    DeviceMetrics(registry, "cuda:0", lambda: memory)
    close = serve_metrics(registry, Metrics(port=port))
    yield f"127.0.0.1:{port}"
    close()


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, door: Door, scan: bytes, gpu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """It has scraped the stack while that computed, failed, shadowed, was called back from, and took a batch.

    Its job `flower` is one that is down.
    """
    targets = {job: [urlsplit(url).netloc for url in stack.state.metrics_of(job)] for job in JOBS}
    targets["predict"].append(gpu)
    targets["flower"] = [f"127.0.0.1:{free_port()}"]
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus") / "home", targets)
    try:
        with copied_version(stack) as copy, receiving() as receiver:
            stack.darkroom("models", "shadow", "digits", copy)
            try:
                until(lambda: work(server, door, scan, receiver.url, copy), what="all was done", pause=0.5)
                yield server
            finally:
                stack.darkroom("models", "shadow", "digits", "--off")
    finally:
        server.close()


def work(server: PrometheusServer, door: Door, scan: bytes, webhook: str, shadow: str) -> bool:
    """Send images of every fate; tell whether Prometheus has seen what takes longest: rows of each, twice scraped."""
    image, wait = renewed(scan), {"Prefer": "wait=60"}
    for one in (image, image, undecodable()):
        door.submit(one, headers=wait, webhook=webhook)
    ended(door.http, send_lines(door.http, lines([("a", renewed(scan)), ("b", renewed(scan))])).json()["id"])
    slowest = (
        f'rate(darkroom_shadow_predictions_total{{version="{shadow}", agrees="yes"}}[1m])',
        'rate(darkroom_webhook_attempts_total{outcome="delivered"}[1m])',
        'rate(darkroom_predictions_failed_total{code="undecodable_image"}[1m])',
        'rate(darkroom_predictions_total{source="cache"}[1m])',
    )
    return all(any(value > 0 for _, value in server.query(query)) for query in slowest)


def of_board(uid: str) -> list[PanelQuery]:
    return [query for query in queries() if query.board == uid]


def without_data(server: PrometheusServer, uid: str, *, model: str = ".*") -> list[str]:
    """Name the queries of a board that have no number."""
    return [
        str(query)
        for query in of_board(uid)
        if not any(not math.isnan(value) for _, value in server.query(query.filled_in(window=WINDOW, model=model)))
    ]


@pytest.mark.parametrize("uid", boards())
def test_every_query_of_every_panel_has_data(prometheus: PrometheusServer, uid: str) -> None:
    until(lambda: not without_data(prometheus, uid), what=f"{without_data(prometheus, uid)} have data", pause=0.5)


@pytest.mark.parametrize("uid", boards())
def test_a_panels_legend_names_labels_that_its_samples_have(prometheus: PrometheusServer, uid: str) -> None:
    legends = {
        (panel["id"], target["refId"]): set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        for panel in boards()[uid]["panels"]
        for target in panel.get("targets", ())
    }
    for query in of_board(uid):
        # The 0 that stands for nothing has no labels.
        samples = [labels for labels, value in prometheus.query(query.filled_in(window=WINDOW)) if labels or value]
        for labels in samples:
            missing = legends[query.panel, query.reference] - set(labels)
            assert missing <= {"reason"}, (str(query), labels)


def test_a_model_is_chosen(prometheus: PrometheusServer) -> None:
    for uid, board in boards().items():
        for name, (label, found_in) in variable_queries(board).items():
            offered = prometheus.label_values(label, found_in.replace("$model", ".*"))
            assert {"model": MODEL, "version": "1"}[name] in offered
        # Under load a scrape may take too long, and its gauges are gone until the next.
        until(lambda uid=uid: not without_data(prometheus, uid, model=MODEL), what=f"{uid} has data", pause=0.5)
    chosen = [query for query in queries() if "$model" in query.expression and "vector(0)" not in query.expression]
    assert chosen
    found = [str(query) for query in chosen if prometheus.query(query.filled_in(window=WINDOW, model="nobodys"))]
    assert found == []


def test_a_version_is_chosen(prometheus: PrometheusServer) -> None:
    for query in queries():
        if "$version" in query.expression:
            found = prometheus.query(query.filled_in(window=WINDOW, version="1"))
            assert {labels.get("version", "1") for labels, _ in found} <= {"1"}, query


def test_an_alert_carries_the_address_of_its_panel(prometheus: PrometheusServer) -> None:
    def dashboards() -> set[str]:
        return {
            alert["annotations"]["dashboard"]
            for alert in prometheus.alerts()
            if alert["labels"]["alertname"] == "ProcessDown"
        }

    until(dashboards, what="the alert is pending", pause=0.2)
    assert dashboards() == {f"{GRAFANA}/d/darkroom-golden-signals?viewPanel=17"}
