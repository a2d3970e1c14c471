"""Two versions that bring modules of the same names: each answers with its own code, in the same process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.deferred_imports import deferred

pyfunc = deferred("mlflow.pyfunc")
pytestmark = pytest.mark.xdist_group("torch")

MODEL = """
import mlflow.pyfunc
import numpy as np
{eager}

class Scorer(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        {lazy}
        return np.tile(np.array([score(), 1 - score()], np.float32), (len(model_input), 1))
"""
WAYS = {
    "when the file is read": {"eager": "from scoring.helpers import score", "lazy": "pass"},
    "with each image": {"eager": "", "lazy": "from scoring.helpers import score"},
}
METADATA = {"image": {"crop_size": 8}, "labels": ["a", "b"], "activation": "none"}
NAMES = ("scorer", "scoring", "scoring.helpers")


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def save(request: pytest.FixtureRequest, tmp_path: Path, quiet: None) -> Iterator[Callable[[float], Path]]:  # noqa: ARG001
    """Save a version whose first score is that of its helper; each is saved by a process of its own, as it were."""

    def save(score: float) -> Path:
        code, saved = tmp_path / f"code-{score}", tmp_path / f"saved-{score}"
        (code / "scoring").mkdir(parents=True)
        (code / "scorer.py").write_text(MODEL.format(**request.param))
        (code / "scoring" / "__init__.py").touch()
        (code / "scoring" / "helpers.py").write_text(f"def score():\n    return {score}\n")
        sys.path.insert(0, str(code))
        try:
            model = __import__("scorer").Scorer()
            paths = [str(code / "scorer.py"), str(code / "scoring")]
            options = {"metadata": METADATA, "pip_requirements": ["numpy"], "code_paths": paths}
            pyfunc.save_model(str(saved), python_model=model, **options)
        finally:
            sys.path.remove(str(code))
            forget()
        return saved

    yield save
    forget()


def forget() -> None:
    for name in NAMES:
        sys.modules.pop(name, None)


def first_score(model: Any, images: list[Any]) -> float:
    """Return the score of the first label of the first image."""
    return round(orjson.loads(model.predict(images)[0])["probabilities"]["a"], 3)


def test_each_version_answers_with_the_code_that_it_brought(
    save: Callable[[float], Path], load: Callable[..., Any], images: list[Any]
) -> None:
    scores = [0.75, 0.25, 0.5]
    models = [load(path) for path in [save(score) for score in scores]]
    for _ in range(2):
        assert [first_score(model, images) for model in models] == scores


def test_a_version_loaded_while_another_serves_changes_nothing_for_it(
    save: Callable[[float], Path], load: Callable[..., Any], images: list[Any]
) -> None:
    old, other = save(0.75), save(0.25)
    served = load(old)
    assert first_score(served, images) == 0.75
    new = load(other)
    assert (first_score(served, images), first_score(new, images)) == (0.75, 0.25)


def test_a_version_that_cannot_be_read_leaves_no_module_behind(
    save: Callable[[float], Path], load: Callable[..., Any]
) -> None:
    saved = save(0.75)
    (saved / "python_model.pkl").write_bytes(b"no pickle")
    with pytest.raises(Exception, match="invalid load key"):
        load(saved)
    assert not [path for path in sys.path if path.endswith("/code")]
    assert not [name for name in NAMES if name in sys.modules]
