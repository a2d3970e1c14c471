"""Copy a model's champion out of the registry: `python -m benchmarks.fetch REGISTRY_URL NAME FOLDER`."""

import shutil
import sys
import tempfile
from pathlib import Path

import mlflow


def fetch(registry_url: str, name: str, folder: Path) -> None:
    """Put the version's files, `MLmodel` among them, into `folder`, in place of what was there."""
    # Its arguments for this do not reach the look-up of an alias.
    mlflow.set_tracking_uri(registry_url)
    with tempfile.TemporaryDirectory() as draft:
        path = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=draft)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(path, folder)


if __name__ == "__main__":
    fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
