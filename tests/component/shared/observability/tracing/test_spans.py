"""Spans as a collector gets them, and what happens where there is none."""

import gc
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from shared.observability.tracing.harmless import harmless
from shared.observability.tracing.spans import LAST_EXPORT, LINE_EVERY, SCHEMA_URL, Seldom, Tracing
from shared.observability.tracing.starting import start_tracing
from shared.observability.tracing.trace_context import span_id, trace_id
from shared.settings import SettingsError
from shared.settings import Tracing as TracingSettings
from tests.support.otlp_receiver import collecting, refusing
from tests.support.waiting import LIMIT

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"
WAITING = 2048 + 512 + 1
"""Spans that a process holds at most: the SDK's queue, what it is sending, and one that has begun."""


def make_tracing() -> Tracing:
    found = start_tracing(TracingSettings(enabled=True), service="a-service", instance="one")
    assert found is not None
    return found


def test_spans_come_with_their_parent_links_times_and_the_conventions_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracing = make_tracing()
        span = tracing.start("one", kind="server", parent=f"{SAMPLED} vendor=1", at=1000, attributes={"a": 1})
        assert span.trace.endswith(" vendor=1")
        batch = tracing.start_always("many", kind="consumer", at=2000, links=[span.trace])
        span.fail("TimeoutError", "late")
        span.end(3000)
        batch.end()
        tracing.close()
        one, many = collector.wait_until(lambda spans: len(spans) == 2)
    assert (one.service, one.schema_url, one.kind, one.failed) == ("a-service", SCHEMA_URL, "server", True)
    assert (one.trace_id, one.parent) == (trace_id(SAMPLED), span_id(SAMPLED))
    assert (one.begun, one.ended, one.attributes) == (1000, 3000, {"a": 1, "error.type": "TimeoutError"})
    assert (many.parent, many.kind, many.links) == ("", "consumer", [one.context])
    assert many.trace_id != one.trace_id


def test_the_sdks_own_variables_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        tracing = make_tracing()
        assert not tracing.start("nobody asked").is_recorded
        assert not tracing.takes(UNSAMPLED)
        assert tracing.takes(SAMPLED)
        unsampled = tracing.start("not sampled", parent=UNSAMPLED)
        assert (trace_id(unsampled.trace), unsampled.trace[53:]) == (trace_id(UNSAMPLED), "00")
        unsampled.end()
        tracing.start("sampled", parent=SAMPLED).end()
        tracing.close()
        [span] = collector.wait_until(lambda spans: len(spans) > 0)
    assert (span.name, span.service) == ("sampled", "pictures")


def test_a_disabled_sdk_makes_no_span_and_carries_the_trace_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = make_tracing()
    span = tracing.start("one", parent=SAMPLED)
    assert (span.is_recorded, span.trace) == (False, SAMPLED)
    assert not tracing.start("root").trace
    span.end()
    tracing.close()


def not_there() -> AbstractContextManager[str]:
    return nullcontext("http://127.0.0.1:9")


@pytest.mark.slow  # waits for the last export
@pytest.mark.parametrize(
    "collector",
    [not_there, partial(refusing, 0), partial(refusing, 503), partial(refusing, 429, Retry_After="3600")],
    ids=["is not there", "hangs", "is overloaded", "is full for an hour"],
)
def test_a_collector_that_takes_nothing_costs_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    collector: Callable[[], AbstractContextManager[str]],
) -> None:
    with collector() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        tracing = make_tracing()
        for _ in range(3 * WAITING):
            tracing.start(url, parent=SAMPLED).end()
        # By its type: asked for their class, deprecated objects of libraries that are loaded warn.
        found = [one for one in gc.get_objects() if issubclass(type(one), ReadableSpan)]
        spans = [one for one in found if one.name == url]
        assert 1 <= len(spans) <= WAITING
        begun = time.monotonic()
        tracing.close()
        assert time.monotonic() - begun < LAST_EXPORT.total_seconds() + 5
    # The exporter has one line, the full queue another.
    assert len([one for one in caplog.records if one.name.startswith("opentelemetry")]) <= 3


@pytest.mark.slow  # waits for the last export
def test_a_collector_that_hangs_does_not_hold_up_a_process_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""
from shared.observability.tracing.spans import Tracing
tracing = Tracing(service="s", instance="i")
for _ in range(5_000):
    tracing.start("one", parent={SAMPLED!r}).end()
tracing.close()
print("closed")
"""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with refusing(0) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, timeout=LIMIT, capture_output=True, text=True
        )
    assert done.stdout == "closed\n"


def test_a_loggers_lines_are_written_once_in_a_while() -> None:
    now = 100.0
    seldom = Seldom(LINE_EVERY, monotonic=lambda: now)
    line = logging.makeLogRecord({})
    assert [seldom.filter(line), seldom.filter(line)] == [True, False]
    now += LINE_EVERY.total_seconds()
    assert [seldom.filter(line), seldom.filter(line)] == [True, False]


def test_a_process_that_is_killed_loses_its_spans_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""
import os, signal
from shared.observability.tracing.spans import Tracing
tracing = Tracing(service="s", instance="i")
tracing.start("open", parent={SAMPLED!r})
os.kill(os.getpid(), signal.SIGTERM)
"""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=LIMIT).returncode == -15


def test_what_can_not_be_turned_on_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(SettingsError, match=r"DARKROOM_TRACING_ENABLED: a variable of OpenTelemetry's can't be used"):
        make_tracing()


def test_without_the_extra_it_says_which() -> None:
    program = """
import sys
sys.modules["opentelemetry.sdk"] = None
from shared.observability.tracing.starting import start_tracing
from shared.settings import Tracing
start_tracing(Tracing(enabled=True), service="s", instance="i")
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=LIMIT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("DARKROOM_TRACING_ENABLED: opentelemetry.sdk")
    assert "pip install 'darkroom[otel]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_tracing_raises_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    with harmless():
        raise ValueError("a span")
    assert caplog.messages == ["not_traced"]
