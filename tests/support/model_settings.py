"""Settings of the process, which are set back after the passes of models, are those with which each test begins."""

import os
import sys

import pytest


@pytest.fixture(autouse=True)
def settings_of_a_new_process() -> None:
    """Let a test's variables and folder be those that its process began with: passes of models set back to them."""
    if process_settings := sys.modules.get("worker.models.process_settings"):
        process_settings._kept.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """Let a variable of pytest's have in a test's body what it had in its fixtures: else a model seems to change it."""
    name = "PYTEST_CURRENT_TEST"
    os.environ[name] = os.environ.get(name, "").replace("(call)", "(setup)")
