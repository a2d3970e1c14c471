"""The Python blocks of the guides for models, run as they stand: what they register is loaded and predicts."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.settings import Registry
from tests.support.deferred_imports import deferred
from tests.support.documents import ROOT, python_blocks
from worker.decode.sized_pixels import SizedPixels
from worker.models.registry.mlflow_setup import configure_mlflow_client

mlflow = deferred("mlflow")
loading = deferred("worker.models.loading")

FRAMEWORKS = frozenset({"lightgbm", "onnx", "onnxruntime", "onnxscript", "timm", "transformers", "xgboost"})
"""Not installed by `make install`; `make flavours`, which runs this, has them."""
LONGEST = 12
"""Lines of a block that are not blank."""
PAGES = {
    page.name: python_blocks(page.read_text()) for page in sorted((ROOT / "docs" / "guides" / "models").glob("*.md"))
}
BLOCKS = [(name, place) for name, blocks in PAGES.items() for place in range(len(blocks))]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a registry of these tests, which the blocks of a page share."""
    return f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"


@pytest.fixture
def client(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make this process one in which somebody logs models; its folder is an empty one."""
    configure_mlflow_client(Registry())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, torch and whatever is logged
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        mlflow.set_tracking_uri(registry)
        mlflow.set_registry_uri(registry)
        if mlflow.get_experiment_by_name("guides") is None:
            mlflow.create_experiment("guides", artifact_location=(tmp_path.parent / "artifacts").as_uri())
        mlflow.set_experiment("guides")
        yield mlflow.MlflowClient()
        while mlflow.active_run() is not None:
            mlflow.end_run()
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


@pytest.mark.parametrize(("page", "place"), BLOCKS, ids=[f"{name}-{place}" for name, place in BLOCKS])
def test_a_block_runs_as_it_stands_and_what_it_registers_predicts(
    page: str, place: int, client: Any, registry: str
) -> None:
    block = PAGES[page][place]
    assert len([line for line in block.splitlines() if line.strip()]) <= LONGEST
    try:
        exec(compile(block, f"{page}-{place}", "exec"), {"__name__": "guide"})  # noqa: S102  that is the test
    except ModuleNotFoundError as error:
        if error.name not in FRAMEWORKS:
            raise
        pytest.skip(f"{error.name} is not installed")
    for name in re.findall(r'registered_model_name="([^"]+)"', block):
        predict(client, registry, name)


def predict(client: Any, registry: str, name: str) -> None:
    [newest] = client.search_model_versions(f"name='{name}'", max_results=1)
    model = loading.load(
        f"models:/{name}/{newest.version}",
        registry=Registry(url=registry),
        device="cpu",
        threads=1,
        max_pixels=1_000_000,
        tags=newest.tags,
    )
    model.warm_up(3)
    height, width = model.spec.input_size
    pixels: Any = np.zeros((height, width, model.spec.mode.channels), np.uint8)
    if model.needs_size:
        pixels = SizedPixels(pixels, (width, height))
    assert len(model.predict([pixels] * 3)) == 3
    assert not [warning for warning in model.warnings if "fixed batch" in warning]


def test_the_blocks_are_found() -> None:
    assert len(PAGES["frameworks.md"]) >= 7
    assert os.environ.get("HF_HUB_OFFLINE") is None
