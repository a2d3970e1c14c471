"""The example's DAG runs commands that exist; where Airflow is installed, it is imported too."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_lines import command_fault, command_lines
from tests.support.documents import ROOT

FILE = ROOT / "examples" / "airflow" / "nightly_bulk.py"


def commands() -> list[str]:
    """Return the command lines of all tasks, each template with a word in its place."""
    calls = [node for node in ast.walk(ast.parse(FILE.read_text())) if isinstance(node, ast.Call)]
    written = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "bash_command"]
    return [re.sub(r"\{\{.+?\}\}", "word", ast.literal_eval(value)) for value in written]


def test_the_tasks_run_commands_that_exist() -> None:
    lines = [words for command in commands() for words in command_lines(command)]
    assert [words[1] for words in lines] == ["bulk"]
    assert [fault for fault in map(command_fault, lines) if fault] == []
    # A retry sends only what is missing, and finds the journal of the try before.
    assert {"--resume", "--home", "--out"} <= set(lines[0])


@pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="Airflow is not installed")
def test_airflow_finds_one_task_a_night(tmp_path: Path) -> None:
    # Airflow configures logging and makes its home where it is imported: in a process and a folder of its own.
    command = [sys.executable, "-W", "ignore", "-c", "import nightly_bulk as file; print(file.nightly.task_ids)"]
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=FILE.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["['predict']"], done.stderr
