"""The step of `up` that trains the demo model where it is missing: `python -m cli.demo.training REGISTRY FOLDER`."""

import http.client
import sys
from pathlib import Path

from cli.stack import probes
from cli.stack.plan import DEMO_MODEL
from cli.stack.servers.mlflow_login import Login


def main(registry: str, folder: Path) -> None:
    """Train and register the model and write its held-out images, unless both are there. Safe to run again."""
    if is_registered(registry) and any(folder.glob("*.png")):
        return
    # Imports torch and MLflow, 3 s that a second `up` does not spend.
    from cli.demo.digits import ensure_registered  # noqa: PLC0415

    ensure_registered(registry_url=registry, folder=folder, progress=say)


def is_registered(registry: str) -> bool:
    """Ask a registry server for the model's champion; False where there is none, or where it is not plain HTTP."""
    if not registry.startswith("http://"):
        return False
    login = Login.of_environment()
    try:
        answer = probes.fetch(
            f"{registry}/api/2.0/mlflow/registered-models/alias?name={DEMO_MODEL}&alias=champion",
            authorization=login.header() if login else "",
            seconds=10,
        )
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == http.client.OK


def say(line: str) -> None:
    """Write one line of progress into the step's log."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
