"""The plan of a stack: which programs a home runs, in which order, and the settings that connect them."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from cli.stack import devices, probes, roles
from cli.stack.ports import LOOPBACK, Ports
from cli.stack.servers.mlflow import mlflow_program, mlflow_url
from cli.stack.servers.mlflow_login import Login, keep_login, login_file
from cli.stack.servers.postgres import postgres_program
from cli.stack.servers.redis import redis_program
from cli.stack.supervisor.programs import Program, log_path
from shared.cores import cores
from shared.settings import Intake, Local, Webhooks, read

DEMO_MODEL: Final = "digits"
THIS_MACHINE: Final = "127.0.0.0/8"
_REDIS, _DATABASE, _REGISTRY = "DARKROOM_REDIS_URL", "DARKROOM_DATABASE_URL", "DARKROOM_REGISTRY_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `up`; without `models` every registered model that has a champion is served."""

    home: Path
    port: int
    models: tuple[str, ...]
    gateways: int = 1

    @property
    def url(self) -> str:
        """Where the gateway will be."""
        return f"http://{LOOPBACK}:{self.port}"

    def to_json(self) -> str:
        """Write them for the supervisor's command line."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        value = json.loads(text)
        return cls(**value | {"home": Path(value["home"]), "models": tuple(value["models"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The programs to run; `stores` maps settings' names to the addresses of Redis, Postgres and the registry."""

    programs: list[Program]
    stores: dict[str, str]
    environment: dict[str, str]


def usual_gateways() -> int:
    """Return how many gateways to start: as many as are set, else as this machine's cores suggest."""
    return read(Local).local_gateways or devices.gateways()


def held_out_folder(home: Path) -> Path:
    """Return the folder of the demo model's held-out images."""
    return home / "held-out"


def scratch_folder(home: Path) -> Path:
    """Return where programs keep temporary files; emptied at each start."""
    return home / "scratch"


def called_networks(webhooks: Webhooks) -> list[str]:
    """Return the private networks that webhooks may call: those set, else this machine's loopback."""
    is_set = "allowed_networks" in webhooks.model_fields_set
    return [str(network) for network in webhooks.allowed_networks] if is_set else [THIS_MACHINE]


def plan_stack(
    options: Options, *, sockets: Path, ports: Ports, appendfsync: str, networks: Sequence[str], intake: Intake
) -> Plan:
    """Return what to run. A store whose address is set in the environment is only probed, never started.

    `networks` are private networks that webhooks may call; `intake` says what bodies may take on this machine.
    """
    home = options.home
    mlflow, login = _mlflow(home, ports)
    servers = [
        _theirs("redis", _REDIS, probes.redis_answers)
        or redis_program(folder=home / "redis", sockets=sockets, appendfsync=appendfsync),
        _theirs("postgres", _DATABASE, probes.postgres_answers)
        or postgres_program(folder=home / "postgres", sockets=sockets),
        mlflow,
    ]
    redis, database, registry = (server.url or "" for server in servers)
    # Workers retry until the registry answers, so they need not wait for it: both spend 3 s importing.
    before_predict = ["redis"]
    # Beside a registry that is somebody's own only where it is named: a demo model in production surprises.
    if DEMO_MODEL in options.models or (not options.models and mlflow.command):
        servers.append(_demo_model(home, registry, login))
        # A first training comes before them: they would only compete with it for the cores.
        before_predict += [] if held_out_folder(home).exists() else ["model"]
    workers = [
        *roles.predict_workers(
            options.models,
            on_cpu=read(Local).local_predict_workers or cores(),
            redis_url=redis,
            login=login,
            is_missing=_is_missing(home, registry, is_ours=bool(login)),
            ports=ports,
            after=tuple(before_predict),
        ),
        roles.record_worker(redis, predictions=_prediction_log(home), ports=ports),
        roles.webhook_worker(redis, networks=networks, ports=ports),
    ]
    flower = roles.flower(ports.port("flower"), after=tuple(worker.name for worker in workers))
    own = [
        roles.migrations(database),
        *roles.gateways(
            options.port, count=options.gateways, intake=intake, links=_links(registry, flower=flower), ports=ports
        ),
        *workers,
        roles.beat(str(home / "beat-schedule")),
        flower,
    ]
    stores = {_REDIS: redis, _DATABASE: database, _REGISTRY: registry}
    return Plan(programs=servers + own, stores=stores, environment=_environment(stores, home))


def _mlflow(home: Path, ports: Ports) -> tuple[Program, dict[str, str]]:
    """Return the registry and the environment variables that log its clients in.

    For an external registry those are already in the environment, so none are returned.
    """
    if (theirs := _theirs("mlflow", _REGISTRY, _registry_answers)) is not None:
        return theirs, {}
    port = ports.port("mlflow")
    login = keep_login(home, url=mlflow_url(port))
    ours = mlflow_program(folder=home / "mlflow", port=port, login=login, login_file=login_file(home))
    return ours, login.environment()


def _links(registry: str, *, flower: Program) -> dict[str, str]:
    """Return the settings of pages beside the API, those that are set aside; a registry that is a file has no page."""
    pages = {
        "DARKROOM_LINKS_MLFLOW": registry if registry.startswith(("http://", "https://")) else "",
        "DARKROOM_LINKS_FLOWER": flower.url or "",
    }
    return {setting: url for setting, url in pages.items() if url and setting not in os.environ}


def _is_missing(home: Path, registry: str, *, is_ours: bool) -> Callable[[str], bool]:
    """Return what tells whether the registry has no model of a name; the demo model is being made where it is missing.

    `is_ours`: the registry is the embedded one, whose login the home keeps.
    """

    def is_missing(model: str) -> bool:
        login = Login.read(home) if is_ours else Login.of_environment()
        authorization = login.header() if login else ""
        is_made_here = model == DEMO_MODEL
        return not is_made_here and probes.is_unregistered(model, registry_url=registry, authorization=authorization)

    return is_missing


def _theirs(role: str, setting: str, ask: Callable[[str], str]) -> Program | None:
    """Return the external server that `setting` names, only to be probed; None where it is not set."""
    url = os.environ.get(setting)
    return Program(name=role, role=role, url=url, probe=lambda _: ask(url), is_watched=True) if url else None


def _registry_answers(url: str) -> str:
    """Probe a registry over plain HTTP, as workers ask it, with their login: one that is refused is not ready.

    One that is a file or behind HTTPS counts as ready.
    """
    if not url.startswith("http://"):
        return ""
    login = Login.of_environment()
    return probes.registry_answers(url, authorization=login.header() if login else "")


def _prediction_log(home: Path) -> str:
    """Return the file that gets a line a prediction: what is set, even empty for none, else one beside the logs."""
    return os.environ.get("DARKROOM_LOG_PREDICTIONS", str(log_path(home, "record").with_name("predictions.ndjson")))


def _demo_model(home: Path, registry: str, login: dict[str, str]) -> Program:
    """Return the step that trains and registers the demo model where it is missing."""
    return Program(
        name="model",
        role="model",
        once=True,
        command=(sys.executable, "-W", "ignore", "-m", "cli.demo.training", registry, str(held_out_folder(home))),
        environment=login,
        after=("mlflow",),
    )


def _environment(stores: dict[str, str], home: Path) -> dict[str, str]:
    """Return every program's environment: this process's, with the stores' addresses."""
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK, "localhost")))
    return (
        os.environ
        | stores
        | {
            # Requests to this machine go past any proxy.
            "NO_PROXY": direct,
            "no_proxy": direct,
            "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
            "PYTHONUNBUFFERED": "1",
            # A killed worker leaves its copy of the model there; the next start empties the folder.
            "TMPDIR": str(scratch_folder(home)),
        }
    )
