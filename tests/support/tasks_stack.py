"""A stack that serves `digits` and a model of each task, with known outputs, from a registry that is a file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.domain.task import Task
from tests.support.api_client import Door
from tests.support.ports import free_port
from tests.support.program_forks import Forked, Program, run
from tests.support.stack import Stack
from tests.support.waiting import until

LIT_TASKS: Final = ("detection", "segmentation", "json", "classification")
MLFLOW: Final = "http://127.0.0.1:5999/mlflow/"
"""Where the gateway is told that MLflow's pages are; nothing is there, since the registry is a file."""
BOXED: Final = {
    "models": ["lit-detection"],
    "then": {"model": "lit-classification", "when": {"class": ["zero", "one", "two", "three"]}, "crop": True},
}


@contextmanager
def tasks_stack(home: Path, *, environment: dict[str, str] | None = None) -> Iterator[Stack]:
    """Run such a stack: a model of each task from `number_models`, and the `lit-` ones of `task_models`."""
    registry = f"sqlite:///{home}/registry.db"
    log = "from tests.support import number_models as n, task_models as t; n.main({0!r}); t.main({0!r}, *{1!r})"
    tests = {"PYTHONPATH": str(Path(__file__).parents[2])}  # the models' classes are there
    # The pipeline `lit-boxed`: what the detector finds is classified.
    log += "; t.MlflowClient({0!r}, {0!r}).set_registered_model_tag('lit-detection', {2!r}, {3!r})"
    pipeline = "darkroom.pipeline.lit-boxed", json.dumps(BOXED)
    code = log.format(registry, LIT_TASKS, *pipeline)
    made = run(Program(code, (), os.environ | tests, home, is_code=True))
    assert made.returncode == 0, made.stdout
    own = {"DARKROOM_REGISTRY_URL": registry, "DARKROOM_LINKS_MLFLOW": MLFLOW, **tests, **(environment or {})}
    stack = Stack(home / "home", port=free_port(), environment=own, forked=Forked.ALL)
    wanted = {*Task, *(f"lit-{task}" for task in LIT_TASKS)}
    try:
        stack.up()
        with Door(stack) as door:
            served = lambda: {model["name"] for model in door.get("/v1/models")["results"]}  # noqa: E731
            until(lambda: wanted <= served(), what="a model of each task serves")
        yield stack
    finally:
        stack.down()
