import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_forks import CommandForks


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, cli.commands; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in found
    assert not {"torch", "mlflow", "sqlalchemy", "redis", "httpx", "pydantic", "celery"} & set(found)


# Interrupts the import of one module, as Ctrl-C does that comes then.
INTERRUPTED_AT = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

before = {{*sys.modules}}
from cli.main import app
assert {{*sys.modules}} - before == {{"cli", "cli.main"}}, "an interrupt of what is imported outside is not caught"
sys.meta_path.insert(0, Interrupt())
sys.argv = ["darkroom", "down"]
app()
"""


@pytest.mark.parametrize("module", ["cli.commands", "typer", "cli.webhooks.command", "cli.down.run", "psutil"])
def test_ctrl_c_while_modules_are_imported_prints_nothing(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT.format(module=module)],
        env={**os.environ, "DARKROOM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_help_names_every_command(command_forks: CommandForks, tmp_path: Path) -> None:
    done = command_forks.run("--help", home=tmp_path)
    assert all(
        name in done.stdout
        for name in ("up", "down", "status", "submit", "bulk", "webhooks", "demo", "migrate", "audit")
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("submit", "7.png"), "darkroom up"),
        (("webhooks", "listen", "9000"), "darkroom up"),
        (("audit",), "darkroom up"),
        (("migrate",), "DARKROOM_DATABASE_URL"),
    ],
)
def test_without_a_stack_one_line_says_how_to_start_one(
    command_forks: CommandForks, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = command_forks.run(*arguments, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "or name the folder of one that runs: --home" in done.stderr


@pytest.mark.parametrize("command", ["submit", "bulk"])
def test_an_invalid_webhook_is_refused_before_anything_is_sent(
    command_forks: CommandForks, tmp_path: Path, command: str
) -> None:
    done = command_forks.run(command, "7.png", "--webhook", "ftp://example.com", home=tmp_path)
    assert done.returncode == 2
    assert "https:// or http://" in done.stderr


def test_down_and_status_succeed_where_nothing_runs(command_forks: CommandForks, tmp_path: Path) -> None:
    for command in ("down", "status"):
        done = command_forks.run(command, home=tmp_path)
        assert done.returncode == 0
        assert "Nothing runs" in done.stdout


def test_without_a_stack_the_setting_for_containers_is_named(command_forks: CommandForks, tmp_path: Path) -> None:
    (tmp_path / "7.png").touch()
    done = command_forks.run("submit", "7.png", home=tmp_path)
    assert done.returncode != 0
    assert "DARKROOM_URL=http://127.0.0.1:8000" in done.stdout + done.stderr


def test_an_unreachable_gateway_is_reported_without_a_traceback(command_forks: CommandForks, tmp_path: Path) -> None:
    image = tmp_path / "7.png"
    image.touch()
    done = command_forks.run("submit", str(image), home=tmp_path, DARKROOM_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "Nothing answers at http://127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unreachable_database_is_reported_without_a_traceback(command_forks: CommandForks, tmp_path: Path) -> None:
    done = command_forks.run("migrate", home=tmp_path, DARKROOM_DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr.startswith("The database can't be brought up to date")
    assert "Traceback" not in done.stderr


def test_an_invalid_setting_is_reported_in_one_line(command_forks: CommandForks, tmp_path: Path) -> None:
    done = command_forks.run("up", "--detach", home=tmp_path, DARKROOM_LOCAL_APPENDFSYNC="sometimes")
    assert done.returncode == 1
    assert "DARKROOM_LOCAL_APPENDFSYNC" in done.stderr
    assert "Traceback" not in done.stderr
