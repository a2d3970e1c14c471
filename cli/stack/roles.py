"""The programs of each role: gateway, workers, beat, Flower, migrations, with their command lines and probes."""

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from cli.stack import devices, probes
from cli.stack.ports import LOOPBACK, Ports
from cli.stack.supervisor.programs import Program
from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.settings import Intake

BACKGROUND = 10
"""Niceness of workers: about a tenth of the CPU share of a normal process, enough to progress beside a compiler."""
REMEMBERED_TASKS = 5000
"""Tasks that Flower keeps, at 5 KB each: the last 2 minutes under full load. Its default of 100,000 is 0.5 GB."""


def migrations(database_url: str) -> Program:
    """Return the step that brings the database to the newest schema.

    The URL, which may have a password, is no argument: everybody on the machine sees those.
    """
    code = "from pathlib import Path; from cli.migrate.run import migrate; migrate(Path())"
    return Program(
        name="migrations",
        role="migrations",
        once=True,
        command=(sys.executable, "-c", code),
        environment={"DARKROOM_DATABASE_URL": database_url},
        after=("postgres",),
    )


def gateways(port: int, *, count: int, intake: Intake, links: Mapping[str, str], ports: Ports) -> list[Program]:
    """Return the gateways, all on one port of loopback: `api`, or `api1`, `api2`, … where there are several.

    Several divide the memory for bodies that `intake` allows a machine. `links` are settings of `Links`.
    """
    url, several = f"http://{LOOPBACK}:{port}", count > 1
    environment = {
        "DARKROOM_SERVER_HOST": LOOPBACK,
        "DARKROOM_SERVER_PORT": str(port),
        "DARKROOM_SERVER_STOP_TIMEOUT": "5",
        **links,
    }
    if several:
        environment |= {
            "DARKROOM_SERVER_SHARE_PORT": "true",
            "DARKROOM_INTAKE_MAX_BYTES_IN_HAND": str(-(-intake.max_bytes_in_hand // count)),
            "DARKROOM_INTAKE_MAX_OWNER_BYTES_IN_HAND": str(-(-intake.max_owner_bytes_in_hand // count)),
        }
    programs = [
        Program(
            name=f"api{number}" if several else "api",
            role="api",
            url=url,
            command=(sys.executable, "-m", "api.server"),
            environment=environment,
            after=("redis", "migrations"),
            probe=partial(probes.gateway_serves, url=url, port=port),
            # On a shared port another one may answer for it.
            is_watched=not several,
            stop_rank=1,
        )
        for number in range(1, count + 1)
    ]
    return [_exporting(program, ports) for program in programs]


def predict_workers(
    models: Sequence[str],
    *,
    on_cpu: int,
    redis_url: str,
    login: Mapping[str, str],
    is_missing: Callable[[str], bool],
    ports: Ports,
    after: tuple[str, ...],
) -> list[Program]:
    """Return one process a GPU with four threads each, else `on_cpu` processes; `login` is for the registry.

    They serve `models`, or every registered model that has a champion where there are none. A model of which
    `is_missing` says that nothing is registered under its name is not waited for.

    On a CPU two threads that decode and predict compete for the cores: 200 images/s against 286 with a
    process each (mobilenet_v3_small, two cores). On a GPU one batch decodes while the other computes.

    On a CPU they run at a lower priority than the gateway: ids are returned in milliseconds however much waits, and
    micro-batches that gather meanwhile are larger, so cheaper (a sixth more images/s, two cores).
    """
    gpus = devices.gpus()
    pool = ("threads", "--concurrency", "4") if gpus else ("solo",)
    queues = ",".join(keys.predict_queue(ModelName(model)) for model in models) or keys.PREDICT_QUEUE
    workers = [
        Program(
            name=f"predict{number}",
            role="predict",
            command=_worker(f"predict{number}", queues=queues, pool=pool),
            environment={**login, **({"CUDA_VISIBLE_DEVICES": gpus[number - 1]} if gpus else {})},
            niceness=0 if gpus else BACKGROUND,
            after=after,
            probe=probes.ModelsServe(models=models, redis_url=redis_url, is_missing=is_missing),
            # Stopped first: the current micro-batch finishes while Redis and the rest still run.
            stop_rank=0,
            stop_patience=timedelta(seconds=20),
        )
        for number in range(1, (len(gpus) or on_cpu) + 1)
    ]
    return [_exporting(worker, ports) for worker in workers]


def record_worker(redis_url: str, *, predictions: str, ports: Ports) -> Program:
    """Return the worker that records results in Postgres and does upkeep; `predictions` gets a line for each."""
    worker = Program(
        name="record",
        role="record",
        command=_worker("record1", queues="record,upkeep", pool=("threads", "--concurrency", "2")),
        environment={"DARKROOM_LOG_PREDICTIONS": predictions},
        niceness=BACKGROUND,  # clients are answered from Redis meanwhile
        after=("redis", "migrations"),
        probe=lambda _: probes.worker_answers(redis_url, _node("record1")),
        stop_rank=1,
    )
    return _exporting(worker, ports)


def webhook_worker(redis_url: str, *, networks: Sequence[str], ports: Ports) -> Program:
    """Return the worker that delivers webhooks, apart from recording, which must not wait for slow receivers.

    `networks` are private networks that it may call.
    """
    worker = Program(
        name="webhooks",
        role="webhooks",
        command=_worker("webhooks1", queues="webhooks", pool=("solo",)),
        environment={"DARKROOM_WEBHOOKS_ALLOWED_NETWORKS": json.dumps(networks)},
        niceness=BACKGROUND,
        after=("redis", "migrations"),
        probe=lambda _: probes.worker_answers(redis_url, _node("webhooks1")),
        stop_rank=1,
        # An attempt takes 15 s at most; one that is cut off is made again.
        stop_patience=timedelta(seconds=20),
    )
    return _exporting(worker, ports)


def beat(schedule: str) -> Program:
    """Return Celery's scheduler, which sends the upkeep tasks; `schedule` is the file it keeps."""
    return Program(
        name="beat",
        role="beat",
        command=(*_celery(), "beat", "--schedule", schedule, "--pidfile", ""),
        # At INFO it writes a line for each task it sends, 6 MB a day.
        environment={"DARKROOM_LOG_LEVEL": os.environ.get("DARKROOM_LOG_LEVEL", "WARNING")},
        after=("redis",),
        probe=partial(probes.has_lived, seconds=1.0),
    )


def flower(port: int, *, after: tuple[str, ...]) -> Program:
    """Return Flower, Celery's dashboard, on loopback without a login; it keeps nothing on disk.

    Its pages are open; its HTTP API, which can stop workers, answers 401 unless the operator sets
    FLOWER_UNAUTHENTICATED_API=true, or a login (https://flower.readthedocs.io/en/latest/auth.html).
    """
    url = f"http://{LOOPBACK}:{port}"
    return Program(
        name="flower",
        role="flower",
        url=url,
        command=(
            *(sys.executable, "-m", "worker.flower"),
            *(f"--address={LOOPBACK}", f"--port={port}", "--logging=error"),
        ),
        environment={
            name: os.environ.get(name, usual)
            for name, usual in (
                ("FLOWER_MAX_TASKS", str(REMEMBERED_TASKS)),
                # Its own columns, and what each task did: model, images, batch size, milliseconds; or rows.
                ("FLOWER_TASKS_COLUMNS", "name,uuid,state,result,runtime,worker,received"),
            )
        },
        niceness=BACKGROUND,
        # It asks workers for their queues once, when it starts; workers that start later are missing on some pages.
        after=after,
        probe=lambda _: probes.http_answers(f"{url}/healthcheck"),
        is_watched=True,
        stop_rank=1,
    )


def _exporting(program: Program, ports: Ports) -> Program:
    """Return the program with a metrics port of its own on loopback, where no key is needed."""
    port = ports.port(f"{program.name}-metrics")
    where = {"DARKROOM_METRICS_HOST": LOOPBACK, "DARKROOM_METRICS_PORT": str(port)}
    return replace(program, metrics_url=f"http://{LOOPBACK}:{port}/metrics", environment=program.environment | where)


def _celery() -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "--app", "worker.main", "--quiet")


def _worker(name: str, *, queues: str, pool: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *_celery(), "worker", "--hostname", _node(name), "--queues", queues, "--pool", *pool, "--task-events",
        # Workers do not use each other's state; --without-mingle alone saves a second at each start.
        "--without-mingle", "--without-gossip", "--loglevel", "INFO",
    )  # fmt: skip


def _node(name: str) -> str:
    """Return a worker's name as Celery knows it."""
    return f"{name}@{socket.gethostname()}"
