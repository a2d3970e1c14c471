"""The tutorials' design, started as tutorials start it, and measured at its best."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path

import redis

from benchmarks.load.plan import Outcome, Plan
from benchmarks.measuring.generator import finished, generate, started
from benchmarks.stack import processors, servers
from benchmarks.workbench import Subject, Workbench, WrongResult

CONNECTIONS = (32, 16, 64)
"""Numbers of clients, one run each, of which the best counts; 8, 128 and 256 were not better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tutorial:
    """The best of several numbers of clients, in images a second; `milliseconds` is processor time a job by role.

    `flood` is measured until the last result is in the backend, without polling; `milliseconds` belongs to it. `polled`
    is measured until each client has polled its results.
    """

    flood: float
    polled: float
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Which gateway and which tasks, run by which Python."""

    app: str = "benchmarks.tutorial.app:app"
    tasks: str = "benchmarks.tutorial.tasks"
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)


TUTORIAL = Design()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    port: int
    backend: redis.Redis
    roles: dict[str, list[int]]


def measure(bench: Workbench, subject: Subject, *, images: int, design: Design = TUTORIAL) -> Tutorial:
    """Start the service, run floods and polling clients against it, stop it."""
    with _service(bench, subject, design) as service:
        generate(bench, _plan(bench, subject, service, images=max(64, images // 10), connections=32, poll=True))
        numbers = CONNECTIONS[: bench.amounts.repeats]
        floods = [_flood(bench, subject, service, images=images, connections=number) for number in numbers]
        polled = [_polled(bench, subject, service, images=images, connections=number) for number in numbers]
    flood, cost = max(floods, key=itemgetter(0))
    return Tutorial(flood=flood, polled=max(polled), milliseconds=cost)


def _plan(bench: Workbench, subject: Subject, service: _Service, *, images: int, connections: int, poll: bool) -> Plan:
    return Plan(
        port=service.port,
        path="/predict",
        images=str(subject.images),
        count=images,
        stamp=bench.stamp(),
        accepted=202,
        id_mark='"task_id":"',
        form=True,
        connections=connections,
        poll_path="/result/" if poll else "",
    )


def _flood(
    bench: Workbench, subject: Subject, service: _Service, *, images: int, connections: int
) -> tuple[float, dict[str, float]]:
    """Submit as fast as it is accepted, without polling; return images a second and milliseconds a job."""
    service.backend.flushdb()
    plan = _plan(bench, subject, service, images=images, connections=connections, poll=False)
    with started(bench, plan) as generator:
        generator.wait_until_ready()
        before = processors.spent(service.roles)
        outcome = finished(generator, plan)
        # The backend keeps one key a result and nothing else.
        ended = servers.wait_until(
            lambda: int(service.backend.dbsize()) >= images,
            limit=plan.limit,
            pause=0.005,
            what="all the tutorial's results",
        )
        after = processors.spent(service.roles)
    return images / (ended - outcome.started), processors.milliseconds_each(before, after, jobs=images)


def _polled(bench: Workbench, subject: Subject, service: _Service, *, images: int, connections: int) -> float:
    """Let each client poll every 10 ms until it has its result; return images a second."""
    outcome = generate(bench, _plan(bench, subject, service, images=images, connections=connections, poll=True))
    _check(bench, subject, outcome)
    return images / (outcome.ended - outcome.started)


def _check(bench: Workbench, subject: Subject, outcome: Outcome) -> None:
    expected = bench.classes[subject.name]
    wrong = [n for n, found in enumerate(outcome.classes) if found != expected[n % len(expected)]]
    if len(wrong) > len(outcome.classes) // 1000:
        raise WrongResult(f"tutorial: {len(wrong)} of {len(outcome.classes)} classes are not the bare loop's")


@contextmanager
def _service(bench: Workbench, subject: Subject, design: Design) -> Iterator[_Service]:
    """Run Redis, one uvicorn and a prefork pool with a process a core; the pool takes tasks once it is up."""
    folder = bench.scratch / f"tutorial-{subject.name}-{bench.stamp()}"
    folder.mkdir()
    port = servers.free_port()
    with servers.redis_server(folder) as (redis_pid, backend):
        address = f"redis://127.0.0.1:{backend.connection_pool.connection_kwargs['port']}"
        environment = {
            "TUTORIAL_BROKER": f"{address}/0",
            "TUTORIAL_BACKEND": f"{address}/1",
            "TUTORIAL_MODEL": str(subject.model),
            **design.environment,
        }
        run = partial(_python, design.python, folder, environment)
        with (
            run("uvicorn", design.app, "--port", str(port), "--no-access-log") as api,
            run("celery", "-A", design.tasks, "worker", "--concurrency", str(bench.cores)) as worker,
        ):
            servers.wait_until(lambda: servers.answers(port), limit=30, pause=0.1, what="the tutorial's api")
            yield _Service(
                port=port,
                backend=backend,
                roles={"api": [api.pid], "worker": [worker.pid], "redis": [redis_pid]},
            )


Service = AbstractContextManager[subprocess.Popen[bytes]]


def _python(python: str, folder: Path, environment: dict[str, str], module: str, *arguments: str) -> Service:
    return servers.process(
        [python, "-m", module, *arguments],
        log=folder / f"{module}.log",
        environment={**environment, "PYTHONPATH": str(Path.cwd())},
    )
