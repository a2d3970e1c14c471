"""The MLflow registry that a command is about, through MLflow's own client, which is imported here at first use."""

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.addresses import store_url
from cli.stack.servers.mlflow_login import Login
from cli.terminal.refused import Refused
from shared.settings import Registry

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SETTING: Final = "DARKROOM_REGISTRY_URL"


def registry_environment(home: Path) -> dict[str, str]:
    """Return the variables with which a process reaches the registry: the one set, else that of the stack on this home.

    Raises Refused where there is none. The embedded registry's login is among them, unless another one is set.
    """
    url = store_url(home, SETTING)
    login = Login.read(home) if not os.environ.get(SETTING) and Login.of_environment() is None else None
    return Registry(url=url).client_environment() | {SETTING: url} | (login.environment() if login else {})


def connect(home: Path) -> "MlflowClient":
    """Return a client of the registry that this home's commands are about; raises Refused where there is none."""
    return connect_as(registry_environment(home))


def connect_as(environment: dict[str, str]) -> "MlflowClient":
    """Return a client of the registry that `registry_environment` has told, with its login; raises Refused."""
    os.environ.update({name: value for name, value in environment.items() if name != SETTING})
    return registry_client(environment[SETTING])


def registry_client(url: str) -> "MlflowClient":
    """Return a client; MLflow's own functions talk to the same registry from now on.

    Raises Refused where MLflow is not installed, as on a machine that has the gateway alone.
    """
    os.environ.update(Registry(url=url).client_environment())
    try:
        import mlflow  # noqa: PLC0415  reads the environment above
        from mlflow.tracking import MlflowClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise Refused(f"This needs {error.name}: pip install 'darkroom[local]'") from None

    # MLflow warns about its own type hints and files, which users can't act on.
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    return MlflowClient(url, url)


def experiment_id(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment of this name, made if missing; a bare database keeps its files beside it."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    url = client.tracking_uri
    database = url.removeprefix("sqlite:///")
    beside = (Path(database).resolve().parent / "artifacts").as_uri() if database != url else None
    return str(client.create_experiment(name, artifact_location=beside))
