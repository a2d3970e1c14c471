"""What traces cost a job: processor time by role with none, of every request, and of one in a hundred, in turns.

Each turn has a stack of its own, since a process reads its settings once. The collector is a thread of this process
that answers at once and reads nothing out of what it gets.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from benchmarks.measuring.predictions import Run, Throughput, measure_run, median_run, warm_up_predictions
from benchmarks.stack import darkroom
from benchmarks.workbench import Subject, Workbench, WrongResult

SHARES: Final[Mapping[str, float | None]] = {"off": None, "every request": 1.0, "one in a hundred": 0.01}
"""The share of requests that are sampled; None: tracing is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What a job costs, by how much is sampled."""

    sides: Mapping[str, Throughput]
    bytes_each: Mapping[str, float]
    """Bytes of spans that a job sent to the collector, its share of the warm-up's too; they are not compressed."""


class _Sink:
    """What the collector has got."""

    def __init__(self) -> None:
        self.bytes = 0
        self.url = ""


def measure(bench: Workbench, subject: Subject, *, images: int) -> Traced:
    """Take turns, the stack without traces first; every image's row is checked."""
    runs: dict[str, list[Run]] = {name: [] for name in SHARES}
    sent = dict.fromkeys(SHARES, 0.0)
    with _collecting() as sink:
        for _ in range(bench.amounts.repeats):
            for name, share in SHARES.items():
                before = sink.bytes
                settings = {} if share is None else _settings(sink.url, share)
                with darkroom.running(bench, subject.name, appendfsync="everysec", settings=settings) as stack:
                    warm_up_predictions(bench, stack, subject)
                    runs[name].append(measure_run(bench, stack, subject, images=images))
                sent[name] += (sink.bytes - before) / images / bench.amounts.repeats
                if (share is None) == (sink.bytes > before):
                    raise WrongResult(f"tracing {name}: the collector got {sink.bytes - before} bytes")
                bench.say(f"  {name}: {sum(runs[name][-1].milliseconds.values()):.3f} ms of CPU a job")
    return Traced(sides={name: median_run(of_it) for name, of_it in runs.items()}, bytes_each=sent)


def _settings(url: str, share: float) -> dict[str, str]:
    return {
        "DARKROOM_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
    }


@contextmanager
def _collecting() -> Iterator[_Sink]:
    sink = _Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.rfile.read(length)
            sink.bytes += length
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
