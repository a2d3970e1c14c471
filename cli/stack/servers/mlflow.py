"""The embedded MLflow: tracking, registry and artifacts on one loopback port, in one process."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

from cli.stack import probes
from cli.stack.ports import LOOPBACK
from cli.stack.servers.mlflow_login import Login
from cli.stack.supervisor.programs import Program

_OWN_NAMES: Final = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,[[]::1],[[]::1]:*"


def mlflow_url(port: int) -> str:
    """Return the server's address."""
    return f"http://{LOOPBACK}:{port}"


def mlflow_program(*, folder: Path, port: int, login: Login, login_file: Path) -> Program:
    """Return the server: runs in SQLite and models as files, both in `folder`, behind the login.

    It is the app that `mlflow server` starts, without that command's process around it: ready in 2.4 s instead
    of 5.5 s on two cores, and a single process that ends at SIGTERM. MLflow's own login (`mlflow server
    --app-name basic-auth`) would be a second database of users and permissions for the one user there is.
    """
    url = mlflow_url(port)
    command = (
        sys.executable, "-W", "ignore", "-m", "uvicorn", "--factory", "cli.stack.servers.mlflow_guard:create_app",
        "--host", LOOPBACK, "--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "3",
    )  # fmt: skip
    return Program(
        name="mlflow",
        role="mlflow",
        url=url,
        login_file=str(login_file),
        command=command,
        environment=login.environment()
        | {
            # MLflow's default accepts every name that begins like a private address: 10.example.com.
            "MLFLOW_SERVER_ALLOWED_HOSTS": os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS", _OWN_NAMES),
            # What `mlflow server` passes to the app (mlflow/server/constants.py): --backend-store-uri,
            # --default-artifact-root, --serve-artifacts and --artifacts-destination.
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
            # MLflow's background jobs evaluate language models; none are needed here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        prepare=partial((folder / "artifacts").mkdir, parents=True, exist_ok=True),
        # Asks the store, not /health: the first query creates its tables, and only one should do that.
        probe=lambda _: probes.registry_answers(url, authorization=login.header()),
        is_watched=True,
        stop_rank=2,
    )
