"""Settings of MLflow's client, made before MLflow is imported: bounded retries, no chatter in the log."""

import logging
import os
import warnings

from shared.settings import Registry


def configure_mlflow_client(settings: Registry) -> None:
    """Bound the client's retries and silence its warnings; call it before importing MLflow. Safe to call twice.

    Variables that are set in the environment stay. MLflow's warnings are about its own type hints and files, none about
    what callers do here.
    """
    for name, value in settings.client_environment().items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It would log every retry of every poll while the registry is down; the follower logs that once.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
