"""`darkroom models check --install`: the environment with a version's requirements."""

import subprocess
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.models import separate_environment
from cli.models.separate_environment import environment_for
from cli.terminal.refused import Refused
from tests.support.missing_package import register_with_missing_package
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

# MLflow warns of its own type hints while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


@pytest.mark.slow
def test_an_environment_with_a_version_s_requirements_is_made_once(mlflow_store: "MlflowStore", tmp_path: Path) -> None:
    """`make flavours` runs `models check --install` itself."""
    register_with_missing_package(mlflow_store, tmp_path)
    home = tmp_path / "home"
    python = environment_for(home, str(tmp_path / "model-1"), {})
    tried = "import importlib.util as util, shadesmath as m; print(len(m.scores(3)), util.find_spec('torch').name)"
    done = subprocess.run([python, "-c", tried], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "3 torch\n", "what is installed here is found there too"
    [environment] = (home / "environments").iterdir()
    made = environment.stat().st_ino
    assert environment_for(home, str(tmp_path / "model-1"), {}) == python
    assert [one.stat().st_ino for one in (home / "environments").iterdir()] == [made]


@pytest.fixture
def made_up_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Requirements of a made-up model, and environments in which Python is this script; returns the script's file."""
    script = tmp_path / "pip"
    monkeypatch.setattr(separate_environment, "_requirements", lambda *_: "something\n")

    def create(folder: Path, **_: object) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(script)
        site_packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
        Path(site_packages).mkdir(parents=True)

    monkeypatch.setattr(venv, "create", create)
    return script


def write(script: Path, *lines: str) -> None:
    script.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    script.chmod(0o755)


def test_what_can_not_be_installed_is_said_in_short_lines_and_leaves_nothing(made_up_pip: Path, tmp_path: Path) -> None:
    write(made_up_pip, "seq 3000 | tr '\\n' ' '", "echo", "echo no such package", "exit 1")
    with pytest.raises(Refused) as refused:
        environment_for(tmp_path / "home", "m", {})
    first, long, last = str(refused.value).splitlines()
    assert first == "The requirements of m can't be installed; pip said:"
    assert last == "no such package"
    assert len(long) <= 300
    assert list((tmp_path / "home" / "environments").iterdir()) == []


def test_an_installation_that_is_broken_off_leaves_nothing(
    made_up_pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(made_up_pip)

    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "call", interrupt)
    with pytest.raises(KeyboardInterrupt):
        environment_for(tmp_path / "home", "m", {})
    assert list((tmp_path / "home" / "environments").iterdir()) == []


def test_a_second_check_waits_for_the_first_one_s_installation(
    made_up_pip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(made_up_pip, f"mkdir {tmp_path}/installs || exit 1", f"while ! [ -e {tmp_path}/go ]; do sleep 0.02; done")
    home, told = tmp_path / "home", ""

    def has_told(text: str) -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return text in told

    with ThreadPoolExecutor() as threads:
        first = threads.submit(environment_for, home, "m", {})
        until((tmp_path / "installs").exists, what="the first installs")
        second = threads.submit(environment_for, home, "m", {})
        until(lambda: has_told("Waiting for another check that installs requirements"), what="the second waits")
        (tmp_path / "go").touch()
        assert first.result() == second.result()
    assert has_told("The requirements of m are installed already")
    assert told.count("Installing") == 1


def test_what_a_killed_installation_left_is_made_anew(made_up_pip: Path, tmp_path: Path) -> None:
    """It has no mark that says that it is whole."""
    write(made_up_pip)
    made = environment_for(tmp_path / "home", "m", {}).parents[1]
    (made / "installed").unlink()
    (made / "rest").touch()
    assert environment_for(tmp_path / "home", "m", {}).parents[1] == made
    assert not (made / "rest").exists()
    assert (made / "installed").exists()
