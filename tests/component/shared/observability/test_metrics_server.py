"""A worker's metrics over HTTP, and the health check that reads them."""

import logging
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta

import pytest

from shared.observability.metrics import WorkerMetrics, new_registry
from shared.observability.metrics_server import serve_metrics
from shared.settings import Metrics
from tests.support.ports import free_port
from worker.health import find_problem


def well(port: int, *, longest: float = 30, now: float | None = None) -> str:
    return find_problem(port=port, longest=timedelta(seconds=longest), now=time.time() if now is None else now)


def test_metrics_are_served_until_the_server_is_closed() -> None:
    port, registry = free_port(), new_registry()
    close = serve_metrics(registry, Metrics(port=port))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'darkroom_build_info{version="' in text
    assert "process_cpu_seconds_total" in text
    close()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_without_a_port_nothing_is_served() -> None:
    serve_metrics(new_registry(), Metrics())()


def test_a_port_in_use_is_logged_and_stops_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        serve_metrics(new_registry(), Metrics(port=port))()
    assert [(record.getMessage(), record.port) for record in caplog.records] == [("metrics_not_served", port)]


def test_a_worker_is_healthy_while_its_heartbeat_is_recent() -> None:
    port, registry = free_port(), new_registry()
    heartbeat = WorkerMetrics(registry).heartbeat
    close = serve_metrics(registry, Metrics(port=port))
    assert well(port) == "it does not consume yet"
    heartbeat.set(1_000_000)
    assert well(port, now=1_000_029) == ""
    assert well(port, now=1_000_031) == "no heartbeat for 31 s"
    close()
    assert well(port) == f"port {port} does not answer (ConnectionRefusedError)"


def test_the_health_check_is_a_command() -> None:
    port, registry = free_port(), new_registry()
    WorkerMetrics(registry).heartbeat.set_to_current_time()
    close = serve_metrics(registry, Metrics(port=port))

    def check(environment: dict[str, str]) -> tuple[int, str]:
        command = [sys.executable, "-m", "worker.health"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert check({"DARKROOM_METRICS_PORT": str(port)}) == (0, "")
    close()
    code, words = check({"DARKROOM_METRICS_PORT": str(port)})
    assert (code, words) == (1, f"port {port} does not answer (ConnectionRefusedError)\n")
    assert check({}) == (1, "DARKROOM_METRICS_PORT is not set\n")
