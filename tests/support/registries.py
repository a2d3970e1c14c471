"""A real MLflow registry in a file, with models that take a moment to make."""

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.settings import Registry
from tests.support.deferred_imports import deferred
from worker.models.registry.mlflow_setup import configure_mlflow_client

nn = deferred("torch.nn")
mlflow_db = deferred("mlflow.store.db.utils")
mlflow_models = deferred("mlflow.models")
mlflow_pyfunc = deferred("mlflow.pyfunc")
mlflow_pytorch = deferred("mlflow.pytorch")
mlflow_tracking = deferred("mlflow.tracking")

MODEL = ModelName("shades")
METADATA = {"image": {"crop_size": 4}, "labels": ["dark", "light"]}

RUNS_ANYWHERE = """
import mlflow
class Anything(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
mlflow.models.set_model(Anything())
"""


class MlflowStore:
    """A real MLflow store, of one registered model unless others are named; versions are a few kilobytes each."""

    def __init__(self, directory: Path, template: Path) -> None:
        self.directory = directory
        self.database = directory / "mlflow.db"
        shutil.copy(template, self.database)
        self.url = f"sqlite:///{self.database}"
        self.client = mlflow_tracking.MlflowClient(self.url, self.url)
        self._made = 0

    def register(self, *aliases: str, metadata: dict[str, Any] | None = None, model: ModelName = MODEL) -> VersionKey:
        """Register one more version; return its key, as the follower makes it."""
        if model not in {known.name for known in self.client.search_registered_models()}:
            self.client.create_registered_model(model, description="Dark or light")
        self._made += 1
        path = self.directory / f"model-{self._made}"
        network = self._made % 2  # two versions that follow each other differ
        shutil.copytree(_saved(json.dumps(METADATA if metadata is None else metadata), network), path)
        # Registered from plain files, its run gone since.
        version = self.client.create_model_version(model, path.as_uri(), run_id=f"{self._made:032x}"[::-1])
        for alias in aliases:
            self.promote(alias, VersionNumber(str(version.version)), model=model)
        return VersionKey(f"{version.version}-{version.run_id[:12]}")

    def register_code(self, code: str, *, requirements: list[str], model: ModelName = MODEL) -> None:
        """Register one more version, a model from code, which is not run here: it may import what is not installed."""
        self._made += 1
        path = self.directory / f"model-{self._made}"
        script = self.directory / f"model-{self._made}.py"
        script.write_text(RUNS_ANYWHERE)
        mlflow_pyfunc.save_model(str(path), python_model=str(script), metadata=METADATA, pip_requirements=requirements)
        (path / script.name).write_text(code)
        if model not in {known.name for known in self.client.search_registered_models()}:
            self.client.create_registered_model(model)
        self.client.create_model_version(model, path.as_uri(), run_id=f"{self._made:032x}"[::-1])

    def promote(self, alias: str, number: VersionNumber, *, model: ModelName = MODEL) -> None:
        self.client.set_registered_model_alias(model, alias, number)

    def set_status(self, model: str, number: int, status: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            words = (status, model, number)
            connection.execute("UPDATE model_versions SET status = ? WHERE name = ? AND version = ?", words)

    def files(self, number: int) -> Path:
        return self.directory / f"model-{number}" / "data"

    def break_down(self) -> None:
        self._rename("registered_models", "hidden")

    def come_back(self) -> None:
        self._rename("hidden", "registered_models")

    def _rename(self, old: str, new: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


@cache
def _saved(metadata: str, _: int) -> Path:
    """Save a network with this metadata, another one for each number, and return its folder, to be copied.

    Saving takes a quarter of a second of a core, a copy next to nothing.
    """
    path = Path(tempfile.mkdtemp(prefix="saved-")) / "model"
    example = np.zeros((2, 3, 4, 4), np.float32)
    # Imported here, where its warnings are ignored, and not by `save_model`.
    assert mlflow_pyfunc.PythonModel
    mlflow_pytorch.save_model(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval(),
        str(path),
        input_example=example,
        signature=mlflow_models.infer_signature(example, np.zeros((2, 2), np.float32)),
        serialization_format="pt2",
        metadata=json.loads(metadata),
        pip_requirements=["torch"],
    )
    return path


def empty_registry(directory: Path) -> Path:
    """Make an empty MLflow database in a folder, which takes a second and a half: copies of it are quick."""
    configure_mlflow_client(Registry())
    # Each new client compares its database with the newest schema, for which it imports all sixty migrations.
    mlflow_db._get_latest_schema_revision = cache(mlflow_db._get_latest_schema_revision)
    path = directory / "empty.db"
    url = f"sqlite:///{path}"
    mlflow_tracking.MlflowClient(url, url).search_registered_models()
    return path
