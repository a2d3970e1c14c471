"""A collector on loopback: takes OTLP over HTTP as protobuf and keeps the spans."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

KINDS = {
    Sent.SPAN_KIND_INTERNAL: "internal",
    Sent.SPAN_KIND_SERVER: "server",
    Sent.SPAN_KIND_CLIENT: "client",
    Sent.SPAN_KIND_CONSUMER: "consumer",
}


@dataclass(frozen=True)
class SeenSpan:
    """A span as the collector got it; ids in hexadecimal, times in nanoseconds, `links` as trace and span ids."""

    service: str
    schema_url: str
    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    begun: int
    ended: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: bool

    @property
    def context(self) -> tuple[str, str]:
        return self.trace_id, self.id


@dataclass
class Collector:
    """What came, and where to send it."""

    url: str
    spans: list[SeenSpan] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_until(self, enough: Callable[[list[SeenSpan]], bool], *, limit: float = 20) -> list[SeenSpan]:
        """Return all spans once they are enough."""
        with self.arrived:
            came = self.arrived.wait_for(lambda: enough(self.spans), limit)
            assert came, sorted((one.trace_id[:6], one.service, one.name) for one in self.spans)
            return list(self.spans)

    def of_trace(self, trace_id: str, *names: str, limit: float = 20) -> dict[str, SeenSpan]:
        """Return a trace's spans by name, once there is one of each of `names`."""

        def found(spans: list[SeenSpan]) -> dict[str, SeenSpan]:
            return {one.name: one for one in spans if one.trace_id == trace_id}

        return found(self.wait_until(lambda spans: found(spans).keys() >= set(names), limit=limit))


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            seen = list(_read(ExportTraceServiceRequest.FromString(body)))
            with collector.arrived:
                collector.spans += seen
                collector.arrived.notify_all()
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def refusing(status: int, **headers: str) -> Iterator[str]:
    """Run a collector that takes nothing; yield its address. `status` 0: it never answers."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if not status:
                stopped.wait()
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


def _read(request: ExportTraceServiceRequest) -> Iterator[SeenSpan]:
    for resource in request.resource_spans:
        facts = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for one in scope.spans:
                yield SeenSpan(
                    service=facts["service.name"],
                    schema_url=scope.schema_url,
                    name=one.name,
                    kind=KINDS[one.kind],
                    trace_id=one.trace_id.hex(),
                    id=one.span_id.hex(),
                    parent=one.parent_span_id.hex(),
                    begun=one.start_time_unix_nano,
                    ended=one.end_time_unix_nano,
                    attributes=_attributes(one.attributes),
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in one.links],
                    failed=one.status.code == Status.STATUS_CODE_ERROR,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
