import subprocess
import sys

import pytest

from shared.observability.tracing.trace_context import (
    LONGEST_STATE,
    is_sampled,
    read_trace,
    span_id,
    trace_headers,
    trace_id,
)

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{ID}-{SPAN}-01"


def read(parent: str | None = PARENT, *states: str) -> str | None:
    headers = [(b"host", b"h")] + ([(b"traceparent", parent.encode("latin-1"))] if parent is not None else [])
    return read_trace([*headers, *((b"tracestate", state.encode("latin-1")) for state in states)])


def test_a_trace_is_read_and_written_for_the_next_hop() -> None:
    assert read(None) is None
    assert read() == PARENT
    trace = read(PARENT, "rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE")
    assert trace == f"{PARENT} rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    assert trace_headers(trace) == {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
    assert trace_headers(PARENT) == {"traceparent": PARENT}
    assert (trace_id(trace), span_id(trace), is_sampled(trace)) == (ID, SPAN, True)
    assert not is_sampled(f"00-{ID}-{SPAN}-02")


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "00",
        "null",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-more",
        f"ff-{ID}-{SPAN}-01",
        f"0-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID}-{SPAN}-zz",
        f"00-{ID}\n-{SPAN}-01",
        f"00-{ID}-{SPAN}-01\x00",
        "0" * 100_000,
        "é" * 55,
    ],
)
def test_a_malformed_traceparent_is_no_trace(malformed: str) -> None:
    assert read(malformed, "a=1") is None


def test_a_later_version_is_carried_on_as_version_00_and_unknown_flags_are_not() -> None:
    assert read(f"cc-{ID}-{SPAN}-01-what-the-future-brings") == PARENT
    assert read(f"00-{ID}-{SPAN}-ff") == f"00-{ID}-{SPAN}-03"


def test_two_traceparents_are_no_trace() -> None:
    assert read_trace([(b"traceparent", PARENT.encode())] * 2) is None


@pytest.mark.parametrize("state", ["", "nothing", "a=" + "x" * LONGEST_STATE, "a=\x01", "a=é", " "])
def test_a_tracestate_that_is_malformed_or_too_long_is_left_out(state: str) -> None:
    assert read(PARENT, state) == PARENT


def test_what_makes_spans_is_not_imported_where_tracing_is_off() -> None:
    program = """
import sys
import api.server, worker.main, worker.roles.webhooks, worker.roles.record, worker.predict.predictor
from shared import settings
from shared.observability.tracing.starting import start_tracing
assert start_tracing(settings.Tracing(), service="s", instance="i") is None
# FastAPI and Redis' client import some of OpenTelemetry themselves, where it is installed.
unwanted = ("shared.observability.tracing.spans", "opentelemetry.sdk.trace", "opentelemetry.exporter")
assert not [name for name in sys.modules if name.startswith(unwanted)]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
