"""Another version of `digits` on a running stack, with the files of the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support.program_forks import ROOT, Program, run
from tests.support.stack import Stack

_COPY: Final = """
from mlflow.tracking import MlflowClient
client = MlflowClient()
first = client.get_model_version("digits", "1")
logged = first.source.removeprefix("models:/")
print(client.create_model_version("digits", first.source, run_id=first.run_id, model_id=logged).version)
"""
_DELETE: Final = "from mlflow.tracking import MlflowClient; MlflowClient().delete_model_version('digits', '{}')"


@contextmanager
def copied_version(stack: Stack) -> Iterator[str]:
    """Register it and yield its number; afterwards version 1 is the champion and the copy is deleted."""
    number = _in_registry(stack, _COPY).split()[-1]
    yield number
    stack.darkroom("models", "promote", "digits", "1", expect=None)
    _in_registry(stack, _DELETE.format(number))


def _in_registry(stack: Stack, code: str) -> str:
    """Run code with the registry's address and login in its environment; return what it prints."""
    registry = stack.registry_environment
    environment = stack.environment | registry | {"MLFLOW_TRACKING_URI": registry["DARKROOM_REGISTRY_URL"]}
    done = run(Program(code, (), environment, ROOT, is_code=True))
    assert done.returncode == 0, done.stdout
    return done.stdout
