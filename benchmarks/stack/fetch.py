"""Copy a model's champion out of the registry: `python -m benchmarks.stack.fetch NAME FOLDER`.

MLflow's environment says where the registry is, and who asks.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import mlflow


def fetch(name: str, folder: Path) -> None:
    """Put the version's files, `MLmodel` among them, into `folder`, in place of what was there."""
    with tempfile.TemporaryDirectory() as draft:
        path = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=draft)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(path, folder)


if __name__ == "__main__":
    fetch(sys.argv[1], Path(sys.argv[2]))
