"""The peers: how each is started, how a request to it looks, and what it keeps of an accepted image."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cases.tutorial import TUTORIAL, Design
from benchmarks.peers.environment import environment_python
from benchmarks.peers.systems.given import Given
from benchmarks.stack.servers import free_port

_NOTHING: Final = "nothing: an image that is not answered is lost"
_BROKER: Final = "tasks in Redis until taken, results in Redis for a day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How a client learns of a result whose task has an id: these fields of the load generator's plan."""

    poll_path: str
    done_mark: str = '"SUCCESS"'
    failed_mark: str = '"FAILURE"'
    result_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A system that answers a request with the class, in one exchange, or with the id of a task that is polled."""

    title: str
    keeps: str
    requirements: str
    """Name of its file of pins."""
    command: Callable[[str, Given], list[str]]
    """Takes the environment's Python."""
    path: str
    form: bool = False
    """Whether it takes the image as a file of a form, instead of as the body."""
    template: str = ""
    """Or as base64 within this JSON."""
    id_mark: str = '"id":"'
    class_mark: str = '"predicted_class":"'
    """What stands before both in an answer."""
    accepted: int = 200
    """The status of an answer to an image."""
    polling: Polling | None = None
    needs_redis: bool = False

    def start(self, given: Given) -> list[str]:
        """Return the command line, its environment made where it is missing."""
        return self.command(environment_python(self.requirements), given)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePeer:
    """A gateway and Celery tasks, measured also without the cost of polling: results are counted in their backend."""

    title: str
    keeps: str
    design: Callable[[Given], Design]


def _module(name: str) -> Callable[[str, Given], list[str]]:
    return lambda python, _: [python, "-W", "ignore", "-m", f"benchmarks.peers.systems.{name}"]


def _mosec(python: str, given: Given) -> list[str]:
    return [*_module("mosec_server")(python, given), "--port", str(given.port), "--log-level", "warning"]


def _bentoml(name: str) -> Callable[[str, Given], list[str]]:
    serve = ["-W", "ignore", "-m", "bentoml", "serve", f"benchmarks.peers.systems.bentoml_service:{name}"]
    return lambda python, given: [python, *serve, "--port", str(given.port)]


def _mlserver(python: str, given: Given) -> list[str]:
    """Write its two files of settings; its processes talk over ports of their own."""
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    (folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "http_port": given.port,
                "grpc_port": free_port(),
                "metrics_port": free_port(),
                "parallel_workers": given.processes,
            }
        )
    )
    (folder / "model-settings.json").write_text(
        json.dumps(
            {
                "name": "model",
                "implementation": "benchmarks.peers.systems.mlserver_runtime.Inference",
                "max_batch_size": given.batch,
                "max_batch_time": given.wait_ms / 1000,
            }
        )
    )
    return [python, "-W", "ignore", "-m", "mlserver.cli.main", "start", str(folder)]


def _batches(given: Given) -> Design:
    return Design(
        app="benchmarks.peers.systems.celery_batches_app:app",
        tasks="benchmarks.peers.systems.celery_batches_tasks",
        python=environment_python("celery_batches"),
        environment=given.environment(),
    )


PEERS: Final[dict[str, Peer | QueuePeer]] = {
    "mosec": Peer(title="Mosec", keeps=_NOTHING, requirements="mosec", command=_mosec, path="/inference"),
    "litserve": Peer(
        title="LitServe",
        keeps=_NOTHING,
        requirements="litserve",
        command=_module("litserve_server"),
        path="/predict",
        form=True,
    ),
    "celery-batches": QueuePeer(title="FastAPI + celery-batches", keeps=_BROKER, design=_batches),
    "celery": QueuePeer(title="FastAPI + one Celery task an image", keeps=_BROKER, design=lambda _: TUTORIAL),
    "bentoml": Peer(
        title="BentoML, adaptive batching",
        keeps=_NOTHING,
        requirements="bentoml",
        command=_bentoml("Inference"),
        path="/predict",
        form=True,
        id_mark='"id": "',
        class_mark='"predicted_class": "',
    ),
    "bentoml-tasks": Peer(
        title="BentoML, tasks",
        keeps="tasks and results in SQLite for a day; what its process had not computed when it ended is lost",
        requirements="bentoml",
        command=_bentoml("Tasks"),
        path="/predict/submit",
        form=True,
        id_mark='"task_id":"',
        class_mark='"predicted_class": "',
        polling=Polling(
            poll_path="/predict/status?task_id=",
            done_mark='"status":"completed"',
            failed_mark='"status":"failed"',
            result_path="/predict/get?task_id=",
        ),
    ),
    "ray": Peer(
        title="Ray Serve, @serve.batch",
        keeps=_NOTHING,
        requirements="ray",
        command=_module("ray_server"),
        path="/",
    ),
    "ray-tasks": Peer(
        title="Ray Serve, async inference",
        keeps=f"{_BROKER}; a task is acknowledged when it has ended",
        requirements="ray",
        command=_module("ray_tasks_server"),
        path="/predict",
        form=True,
        id_mark='"task_id":"',
        accepted=202,
        polling=Polling(poll_path="/result/"),
        needs_redis=True,
    ),
    "mlserver": Peer(
        title="MLServer, adaptive batching",
        keeps=_NOTHING,
        requirements="mlserver",
        command=_mlserver,
        path="/v2/models/model/infer",
        template='{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"content_type":"base64"},'
        '"data":["BASE64"]}]}',
        class_mark='"data":["',
    ),
}
