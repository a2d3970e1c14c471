"""Settings of MLflow's client, made before MLflow is imported: bounded retries, no chatter in the log."""

import logging
import os
import warnings
from functools import cache
from typing import IO, Any

from shared.settings import Registry


def configure_mlflow_client(settings: Registry) -> None:
    """Bound the client's retries and silence its warnings; call it before importing MLflow. Safe to call twice.

    Variables that are set in the environment stay. MLflow's warnings are about its own type hints and files, none about
    what callers do here.
    """
    for name, value in settings.client_environment().items():
        os.environ.setdefault(name, value)
    _read_yaml_in_c()
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It would log every retry of every poll while the registry is down; the follower logs that once.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def make_client(settings: Registry) -> Any:
    """Return MLflow's client of the registry, which is the whole process' from now on, as for `load`.

    Otherwise a registry in a folder would ask the process' own, for each version that it reads, for its training: for
    that MLflow makes a new database in the current folder, 1.7 s of CPU and on a busy machine 5 to 10 s in all.
    """
    configure_mlflow_client(settings)
    import mlflow  # noqa: PLC0415  reads the environment that is set above
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    mlflow.set_tracking_uri(settings.url)
    mlflow.set_registry_uri(settings.url)
    return MlflowClient(settings.url, settings.url)


@cache
def _read_yaml_in_c() -> None:
    """Have `yaml.safe_load` use libyaml, where PyYAML has it; what that refuses is read in Python as before.

    MLflow reads `MLmodel` three or four times for each version, with a parser in Python: a version of 100,000 labels
    took 11 s of a core to load, and takes 3 (AMD EPYC).
    """
    import yaml  # noqa: PLC0415  MLflow brings it

    loader, in_python = getattr(yaml, "CSafeLoader", None), yaml.safe_load
    if loader is None:
        return

    def safe_load(stream: str | bytes | IO[Any]) -> Any:
        text = stream if isinstance(stream, str | bytes) else stream.read()
        try:
            return yaml.load(text, Loader=loader)  # noqa: S506  a safe loader
        except yaml.YAMLError:
            return in_python(text)

    yaml.safe_load = safe_load
