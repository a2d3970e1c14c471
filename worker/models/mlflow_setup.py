"""Settings of MLflow's client, made before MLflow is imported: bounded retries, no chatter in the log."""

import logging
import os
import warnings

from shared.settings import Registry


def configure_mlflow_client(settings: Registry) -> None:
    """Make MLflow's client bounded and silent; call it before importing MLflow. Safe to call twice.

    What somebody has set in the environment stays. MLflow's warnings are about its own type hints and files, and none
    is about what a caller does here.
    """
    for name, value in settings.client_environment().items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Every retry of every look while the registry is down; the follower says that once.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
