"""Measures one system: images a second, processor time a job, latency one at a time; every answer is checked."""

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.cases import tutorial
from benchmarks.load import image_files
from benchmarks.load.generator import render
from benchmarks.load.plan import Plan
from benchmarks.measuring.generator import finished, generate, started
from benchmarks.measuring.predictions import compare_classes, measure_run, plan_predictions
from benchmarks.order_statistics import percentile
from benchmarks.peers.peers import Peer, QueuePeer
from benchmarks.peers.systems.given import REDIS, Given
from benchmarks.stack import darkroom, processors, servers
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench

SUBMITTED: Final = "submitted"
SUBMITTED_COST: Final = "submitted_ms"
"""In Darkroom's details: images a second, and processor time a job, of requests that do not wait."""
_START: Final = 120.0
_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one run. `milliseconds` is processor time a job of all the system's processes, the client's apart."""

    images_per_second: float
    milliseconds: float
    client_milliseconds: float
    p50: float
    p99: float
    detail: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is sent."""

    images: int
    warm_up: int
    single: int


def measure_peer(bench: Workbench, subject: Subject, peer: Peer, given: Given, load: Load) -> Measured:
    """Start a system, warm it up, measure it, stop it."""
    with _running(bench, subject, peer, given) as roles:
        plan = Plan(
            port=given.port,
            path=peer.path,
            images=str(subject.images),
            # Half the time of one that is polled is polling.
            count=load.images if peer.polling is None else max(64, load.images // 4),
            stamp=bench.stamp(),
            accepted=peer.accepted,
            connections=_CONNECTIONS,
            prefer="wait",  # the answer has the class; the systems do not read it
            form=peer.form,
            template=peer.template,
            id_mark=peer.id_mark,
            class_mark=peer.class_mark,
            **(asdict(peer.polling) if peer.polling else {}),
        )
        return _measure(bench, subject, plan, roles, load)


def measure_queue(bench: Workbench, subject: Subject, peer: QueuePeer, given: Given, load: Load) -> Measured:
    """Do so with one that is polled: until the last result is in its backend, without the cost of polling."""
    # Up to six runs, with several numbers of clients, of which the best counts.
    found = tutorial.measure(bench, subject, images=max(64, load.images // 4), design=peer.design(given))
    return Measured(
        images_per_second=max(found.flood, found.polled),
        milliseconds=sum(found.milliseconds.values()),
        client_milliseconds=0.0,
        p50=0.0,
        p99=0.0,
        detail={**found.milliseconds, "polled": found.polled},
    )


def measure_darkroom(
    bench: Workbench, subject: Subject, load: Load, *, settings: Mapping[str, str], appendfsync: str = "everysec"
) -> Measured:
    """Do so with Darkroom at its defaults, every row in Postgres: requests that wait, and ones that do not."""
    with darkroom.running(bench, subject.name, appendfsync=appendfsync, settings=settings) as stack:
        plan = plan_predictions(bench, stack, subject, images=load.images, wait=True)
        waiting = _measure(bench, subject, plan, stack.roles, load, stack=stack)
        submitted = measure_run(bench, stack, subject, images=load.images)
        detail = {
            **waiting.detail,
            SUBMITTED: submitted.images_per_second,
            SUBMITTED_COST: sum(submitted.milliseconds.values()),
        }
    return Measured(
        images_per_second=waiting.images_per_second,
        milliseconds=waiting.milliseconds,
        client_milliseconds=waiting.client_milliseconds,
        p50=waiting.p50,
        p99=waiting.p99,
        detail=detail,
    )


def _measure(
    bench: Workbench,
    subject: Subject,
    plan: Plan,
    roles: Mapping[str, Sequence[int]],
    load: Load,
    *,
    stack: Stack | None = None,
) -> Measured:
    """Warm up, send everything at 64 connections, then one at a time; with a stack until its rows are there."""
    generate(bench, _changed(bench, plan, count=load.warm_up))
    with started(bench, plan) as generator:
        generator.wait_until_ready()
        before = processors.spent(roles)
        outcome = finished(generator, plan)
        ended = stack.wait_until_idle(limit=plan.limit) if stack else outcome.ended
        after = processors.spent(roles)
    compare_classes(bench, subject, outcome.classes)
    single = generate(bench, _changed(bench, plan, count=load.single, connections=1))
    compare_classes(bench, subject, single.classes)
    cost = processors.milliseconds_each(before, after, jobs=plan.count)
    return Measured(
        images_per_second=plan.count / (ended - outcome.started),
        milliseconds=sum(cost.values()),
        client_milliseconds=outcome.processor_seconds * 1000 / plan.count,
        p50=percentile(single.milliseconds, 0.5),
        p99=percentile(single.milliseconds, 0.99),
        detail=cost,
    )


def _changed(bench: Workbench, plan: Plan, *, count: int, connections: int = _CONNECTIONS) -> Plan:
    return replace(plan, count=count, connections=min(count, connections), stamp=bench.stamp())


@contextmanager
def _running(bench: Workbench, subject: Subject, peer: Peer, given: Given) -> Iterator[dict[str, list[int]]]:
    """Run the system's own command until the block ends; yield its processes once it answers an image."""
    folder = bench.scratch / f"{peer.requirements}-{bench.stamp()}"
    folder.mkdir()
    log, roles = folder / "log", {}
    environment = {**given.environment(), "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    environment["BENTOML_HOME"] = str(folder)  # where it keeps tasks
    with ExitStack() as started:
        if peer.needs_redis:
            pid, backend = started.enter_context(servers.redis_server(folder))
            roles["redis"] = [pid]
            environment[REDIS] = f"redis://127.0.0.1:{backend.connection_pool.connection_kwargs['port']}"
        process = started.enter_context(servers.process(peer.start(given), log=log, environment=environment))
        roles["all"] = [process.pid]
        try:
            servers.wait_until(
                lambda: process.poll() is not None or _answers(subject, peer, given),
                limit=_START,
                pause=0.5,
                what=f"an answer of {peer.title}",
            )
        except servers.NotReady as error:
            raise servers.NotReady(f"{error}: {_end(log)}") from None
        if process.poll() is not None:
            raise servers.NotReady(f"{peer.title} ended: {_end(log)}")
        yield roles


def _answers(subject: Subject, peer: Peer, given: Given) -> bool:
    """Send one image; true where it is accepted."""
    if not servers.answers(given.port):
        return False
    image = image_files.read(subject.images)[0]
    plan = Plan(
        port=given.port,
        path=peer.path,
        images="",
        count=1,
        stamp=0,
        accepted=peer.accepted,
        form=peer.form,
        template=peer.template,
        connections=1,
    )
    head, _, body = render(plan, image, path=peer.path).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    request = urllib.request.Request(f"http://127.0.0.1:{given.port}{peer.path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  an address of this machine
            return bool(answer.status == peer.accepted)
    except (urllib.error.URLError, OSError):
        return False


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]
