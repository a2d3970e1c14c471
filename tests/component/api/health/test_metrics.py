"""/metrics is what Prometheus reads, in either of its formats."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

Serve = Callable[..., Any]
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 asks for."""


def scraped(serve: Serve, accept: str) -> httpx.Response:
    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        await client.get("/nowhere")
        return await client.get("/metrics", headers={"Accept": accept})

    answer: httpx.Response = serve(claim)
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html,*/*;q=0.1", "text/plain;version=1.0.0"])
def test_metrics_default_to_the_text_format(serve: Serve, accept: str) -> None:
    answer = scraped(serve, accept)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    check(parse_text(answer.text))


@pytest.mark.parametrize("accept", [PROMETHEUS, OPENMETRICS, f"text/html,{OPENMETRICS};version=1.0.0"])
def test_openmetrics_is_sent_where_it_is_accepted(serve: Serve, accept: str) -> None:
    answer = scraped(serve, accept)
    assert answer.headers["content-type"].startswith(f"{OPENMETRICS}; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    check(parse_openmetrics(answer.text))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("accept", [f"{OPENMETRICS};version=new", "text/plain;version=1.x", ";=,;version=", "ä"])
def test_an_invalid_accept_header_gets_the_text_format(serve: Serve, accept: str) -> None:
    answer = scraped(serve, accept.encode())  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    check(parse_text(answer.text))


def check(families: Any) -> None:
    """Compare the metrics with the requests made before."""
    samples = {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}
    assert samples["darkroom_http_requests_total", "GET", "unmatched", "404"] == 1
    assert samples["darkroom_http_request_duration_seconds_count", "GET", "unmatched"] == 1
    assert samples["darkroom_http_requests_in_progress",] == 1  # this one
    assert samples["process_resident_memory_bytes",] > 0
    assert any(name == "darkroom_build_info" for name, *_ in samples)
