"""`darkroom models promote NAME runs:/ID/PATH`, on a real MLflow registry: a run's model is registered once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.models import aliases
from cli.terminal.refused import Refused
from tests.support.deferred_imports import deferred
from tests.support.registries import METADATA, RUNS_ANYWHERE

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

mlflow = deferred("mlflow")
# MLflow warns of its own type hints while it is imported.
pytestmark = [pytest.mark.xdist_group("torch"), pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]


@pytest.fixture
def store(mlflow_store: "MlflowStore", monkeypatch: pytest.MonkeyPatch) -> "MlflowStore":
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", mlflow_store.url)
    return mlflow_store


@pytest.fixture
def run(store: "MlflowStore", tmp_path: Path) -> str:
    """A run that has logged a model named `net`, and registered none; its id."""
    code = tmp_path / "anything.py"
    code.write_text(RUNS_ANYWHERE)
    mlflow.set_tracking_uri(store.url)
    experiment = store.client.create_experiment("runs", artifact_location=(tmp_path / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment) as active:
        options: dict[str, Any] = {"metadata": METADATA, "pip_requirements": ["mlflow"]}
        mlflow.pyfunc.log_model(name="net", python_model=str(code), **options)
    return str(active.info.run_id)


def test_a_runs_model_is_registered_once_and_promoted(
    store: "MlflowStore", run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aliases.promote(tmp_path, "pets", f"runs:/{run}/net", wait=False)
    told = capsys.readouterr().out
    assert f"Registered runs:/{run}/net as version 1 of pets." in told
    assert "Promoted version 1 of pets." in told
    [version] = store.client.search_model_versions("name='pets'")
    assert version.run_id == run
    assert mlflow.models.Model.load(version.source).metadata == METADATA
    aliases.promote(tmp_path, "pets", f"runs:/{run}/net/", wait=False)
    assert f"runs:/{run}/net/ is version 1 of pets." in capsys.readouterr().out
    assert len(store.client.search_model_versions("name='pets'")) == 1


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("runs:/", "Write a run's model as runs:/ID/PATH"),
        ("runs:/abc", "Write a run's model as runs:/ID/PATH"),
        ("runs:/abc/model", "The registry can't be asked: "),
        ("runs:/{run}/other", "has logged no model 'other'."),
    ],
)
def test_a_run_that_has_no_such_model_is_refused(
    store: "MlflowStore", run: str, tmp_path: Path, uri: str, why: str
) -> None:
    with pytest.raises(Refused) as refused:
        aliases.promote(tmp_path, "pets", uri.format(run=run), wait=False)
    assert why in str(refused.value)
    assert store.client.search_registered_models() == []
