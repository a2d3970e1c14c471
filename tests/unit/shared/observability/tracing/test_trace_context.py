import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from shared.observability.tracing.trace_context import (
    LONGEST_STATE,
    read_trace,
    span_id,
    trace_headers,
    trace_id,
)
from tests.support.waiting import LIMIT

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
    assert read(PARENT, "rojo=00f067aa0ba902b7 ,\t,", " congo=t61rcWkgMzE") == trace
    assert trace_headers(trace) == {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
    assert trace_headers(PARENT) == {"traceparent": PARENT}
    assert (trace_id(trace), span_id(trace)) == (ID, SPAN)


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


@pytest.mark.parametrize(
    "state",
    [
        *("", " ", ",", "nothing", "a=", "=1", "A=1", "a b=1", "a==1", "a=1=2", "a=1,b", "a=1,a=2", "@a=1", "a@=1"),
        *(
            "a=" + "x" * LONGEST_STATE,
            "a=" + "x" * 257,
            "a=1, " * 1_000_000,
            "a=\x01",
            "a=é",
            "a=1\nb=2",
            "a=1\r\nX: 1",
        ),
        *("a=\x7f", "a=1\x0b,b=2", ",".join(f"k{number}=1" for number in range(33))),
    ],
)
def test_a_tracestate_that_is_malformed_or_too_long_is_left_out(state: str) -> None:
    assert read(PARENT, state) == PARENT


@pytest.mark.parametrize("state", ["a=1", "t@v=1", "1t@v=x y", "a=" + "x" * 256, "a_-*/=!~", "k" * 255 + "=1"])
def test_a_valid_tracestate_is_carried_on_and_the_sdk_takes_it(state: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read(PARENT, state) == f"{PARENT} {state}"
    assert TraceState.from_header([state]).to_header() == state
    assert caplog.messages == []


@given(
    parent=st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"), states=st.lists(st.text())
)
def test_what_is_carried_on_is_always_two_valid_headers(parent: str, states: list[str]) -> None:
    headers = [(b"traceparent", parent.encode(errors="replace"))]
    trace = read_trace(headers + [(b"tracestate", state.encode(errors="replace")) for state in states])
    if trace is not None:
        sent = trace_headers(trace)
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", sent["traceparent"])
        assert re.fullmatch(r"[\x20-\x7e]{3,512}", sent.get("tracestate", "a=1"))


@pytest.mark.slow
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
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)
