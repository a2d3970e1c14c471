"""`darkroom models check --install`: a version is tried in an environment that has its requirements."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.missing_package import register_with_missing_package
from tests.support.registries import MlflowStore, empty_registry

# MLflow warns of its own type hints while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


def test_a_version_that_lacks_a_package_is_served_in_an_environment_that_has_it(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    store = MlflowStore(tmp_path, empty_registry(template))
    register_with_missing_package(store, tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    environment |= {"DARKROOM_REGISTRY_URL": store.url, "DARKROOM_HOME": str(tmp_path / "home")}
    command = [Path(sys.executable).with_name("darkroom"), "models", "check", "shades:1", "--install"]
    for _ in range(2):
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "A worker would serve it."
    assert len(list((tmp_path / "home" / "environments").iterdir())) == 1
