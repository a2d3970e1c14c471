"""Spans, made by OpenTelemetry's SDK and sent in the background. The one module that imports it, only where it is on.

Nothing here waits for a collector: spans go to a queue of bounded length, and are dropped where it is full.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from shared.observability.tracing import trace_context

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of OpenTelemetry's semantic conventions that names and attributes follow; messaging's are not stable."""
LAST_EXPORT: Final = timedelta(seconds=2)
"""How long a process that stops waits for the collector to take its last spans."""
LINE_EVERY: Final = timedelta(minutes=1)
"""How often a process logs that a collector does not take its spans: the exporter would write 25 lines a minute."""

Attributes = Mapping[str, str | int | float | bool]


Kind = Literal["internal", "server", "client", "consumer"]
"""What a span is to its parent."""
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}


class Seldom(logging.Filter):
    """Lets one line of a logger through every `pause`."""

    def __init__(self, pause: timedelta, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._pause = pause.total_seconds()
        self._monotonic = monotonic
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  whatever it says
        """Tell whether the line is written."""
        now = self._monotonic()
        if now < self._next:
            return False
        self._next = now + self._pause
        return True


_EXPORTERS_LINES: Final = Seldom(LINE_EVERY)


class Span:
    """A span that has begun. `trace` names it, as `trace_context` writes it; empty where tracing is disabled."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        self.trace = _write(span.get_span_context())

    @property
    def is_recorded(self) -> bool:
        """Whether the sampler took it."""
        return self._span.is_recording()

    def rename(self, name: str) -> None:
        """Give it a name that became known later."""
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def link(self, trace: str) -> None:
        """Link a span of another trace that this one follows from."""
        self._span.add_link(_read(trace))

    def fail(self, error_type: str, message: str = "") -> None:
        """Say that what it stands for failed, by an identifier of low cardinality and a text."""
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR, message or None)

    def end(self, at: int | None = None) -> None:
        """End it, now or at `at` nanoseconds since 1970."""
        self._span.end(at)


class Tracing:
    """A process' spans. Threads may share it; its sampler is the SDK's, which follows a sampled parent by default."""

    def __init__(self, *, service: str, instance: str) -> None:
        """`service` is its name where OTEL_SERVICE_NAME has none. Raises ValueError for a variable it can't use."""
        ours = Resource.create({"service.name": service, "service.instance.id": instance})
        resource = ours.merge(OTELResourceDetector().detect())
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_EXPORTERS_LINES)
        self._sampled = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sampled.add_span_processor(self._processor)
        # For what is made only because something sampled is part of it: a micro-batch.
        every = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        every.add_span_processor(self._processor)
        self._tracer = self._sampled.get_tracer("darkroom", schema_url=SCHEMA_URL)
        self._always = every.get_tracer("darkroom", schema_url=SCHEMA_URL)

    def start(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: str | None = None,
        at: int | None = None,
        attributes: Attributes | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """Begin a span, now or at `at` nanoseconds since 1970; a trace of its own where it has no `parent`."""
        return self._start(self._tracer, name, kind=kind, parent=parent, at=at, attributes=attributes, links=links)

    def start_always(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: str | None = None,
        at: int,
        attributes: Attributes | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """Begin a span as `start` does, without asking the sampler."""
        return self._start(self._always, name, kind=kind, parent=parent, at=at, attributes=attributes, links=links)

    def takes(self, trace: str) -> bool:
        """Tell whether the sampler would take a span of this parent."""
        parent = _read(trace)
        found = self._sampled.sampler.should_sample(_context(parent), parent.trace_id, "")
        return found.decision in (Decision.RECORD_ONLY, Decision.RECORD_AND_SAMPLE)

    def close(self) -> None:
        """Send what is left, for LAST_EXPORT at most; a collector that can't be reached must not hold up a stop."""
        closing = threading.Thread(target=self._processor.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(LAST_EXPORT.total_seconds())

    @staticmethod
    def _start(
        tracer: Tracer,
        name: str,
        *,
        kind: Kind,
        parent: str | None,
        at: int | None,
        attributes: Attributes | None,
        links: Sequence[str],
    ) -> Span:
        context = _context(_read(parent)) if parent else Context()
        found = [Link(_read(trace)) for trace in links]
        return Span(tracer.start_span(name, context, _KINDS[kind], attributes, found, at))


def _read(trace: str) -> SpanContext:
    parent, _, state = trace.partition(" ")
    return SpanContext(
        int(parent[3:35], 16),
        int(parent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent[53:55], 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _context(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _write(context: SpanContext) -> str:
    if not context.is_valid:
        return ""
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    return f"{parent} {state}" if state and len(state) <= trace_context.LONGEST_STATE else parent
