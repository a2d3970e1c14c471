import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}


def darkroom(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=ENVIRONMENT | {"DARKROOM_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, cli.main; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in found
    assert not {"torch", "mlflow", "sqlalchemy", "redis", "httpx", "pydantic", "celery"} & set(found)


def test_help_names_every_command(tmp_path: Path) -> None:
    done = darkroom("--help", home=tmp_path)
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
def test_without_a_stack_one_line_says_how_to_start_one(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = darkroom(*arguments, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize("command", ["submit", "bulk"])
def test_an_invalid_webhook_is_refused_before_anything_is_sent(tmp_path: Path, command: str) -> None:
    done = darkroom(command, "7.png", "--webhook", "ftp://example.com", home=tmp_path)
    assert done.returncode == 2
    assert "https:// or http://" in done.stderr


def test_down_and_status_succeed_where_nothing_runs(tmp_path: Path) -> None:
    for command in ("down", "status"):
        done = darkroom(command, home=tmp_path)
        assert done.returncode == 0
        assert "Nothing runs" in done.stdout


def test_without_a_stack_the_setting_for_containers_is_named(tmp_path: Path) -> None:
    (tmp_path / "7.png").touch()
    done = darkroom("submit", "7.png", home=tmp_path)
    assert done.returncode != 0
    assert "DARKROOM_URL=http://127.0.0.1:8000" in done.stdout + done.stderr


def test_an_unreachable_gateway_is_reported_without_a_traceback(tmp_path: Path) -> None:
    image = tmp_path / "7.png"
    image.touch()
    done = darkroom("submit", str(image), home=tmp_path, DARKROOM_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "Nothing answers at http://127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unreachable_database_is_reported_without_a_traceback(tmp_path: Path) -> None:
    done = darkroom("migrate", home=tmp_path, DARKROOM_DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr.startswith("The database can't be brought up to date")
    assert "Traceback" not in done.stderr


def test_an_invalid_setting_is_reported_in_one_line(tmp_path: Path) -> None:
    done = darkroom("up", "--detach", home=tmp_path, DARKROOM_LOCAL_APPENDFSYNC="sometimes")
    assert done.returncode == 1
    assert "DARKROOM_LOCAL_APPENDFSYNC" in done.stderr
    assert "Traceback" not in done.stderr
