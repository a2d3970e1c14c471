"""A run that leaves a file in the repository's root fails and names it."""

import subprocess
import sys
from pathlib import Path

from tests.support.leftovers import Leftovers

ROOT = Path(__file__).parents[2]
CONFTEST = """
from pathlib import Path
from tests.support.leftovers import Leftovers

def pytest_configure(config):
    config.pluginmanager.register(Leftovers(Path(__file__).parent))
"""


def test_what_came_since_is_found_and_what_git_ignores_is_not(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/build/\n*.egg-info/\n")
    (tmp_path / "README.md").touch()
    leftovers = Leftovers(tmp_path)
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / "build").mkdir()
    (tmp_path / "darkroom.egg-info").mkdir()
    assert leftovers.find() == []
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlflow.db").touch()
    assert leftovers.find() == [tmp_path / "mlflow.db", tmp_path / "mlruns"]


def test_a_run_that_leaves_a_file_fails_and_names_it(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(".pytest_cache/\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_one.py").write_text("def test_one():\n    open('mlflow.db', 'w').close()\n")
    command = [sys.executable, "-m", "pytest", "-q"]
    # Without other packages' plugins, which take longer to import than pytest itself.
    environment = {
        "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"
    }  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"ERROR: the tests left {tmp_path / 'mlflow.db'}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed")
