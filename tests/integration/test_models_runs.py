"""`darkroom models promote NAME runs:/ID/PATH`, on a real MLflow registry: a run's model is registered once."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from cli.models import aliases
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.settings import Registry
from tests.support.deferred_imports import deferred
from tests.support.registries import METADATA, RUNS_ANYWHERE
from worker.models.registry.registry_snapshot import RegistrySnapshot
from worker.models.registry.shared_registry import SharedRegistry

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
    aliases.promote(tmp_path, "pets", str(version.source), wait=False)
    assert f"{version.source} is version 1 of pets." in capsys.readouterr().out
    assert len(store.client.search_model_versions("name='pets'")) == 1


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("runs:/", "Write a run's model as runs:/ID/PATH"),
        ("runs:/abc", "Write a run's model as runs:/ID/PATH"),
        ("runs:/abc/model", "The registry has no runs:/abc/model."),
        ("models:/m-0a1b", "The registry has no models:/m-0a1b."),
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


def test_a_runs_model_that_a_setting_pins_is_served_in_place_of_the_champion(
    store: "MlflowStore", run: str, redis_client: redis.Redis
) -> None:
    """Registered once, whichever worker asks first; the registry's alias stays as it is."""
    model = ModelName("pets")
    store.register("champion", model=model)
    pins = {"pets": f"runs:/{run}/net", "gone": f"runs:/{run}/other"}
    settings = Registry(url=store.url, pins=pins, poll=timedelta(0))
    for _ in range(2):
        for names in (None, [model]):
            found = SharedRegistry(redis_client, settings=settings, names=names).read()
            assert found[model].aliases == {"champion": "2"}
            assert found[model].versions[VersionNumber("2")].run == run
    assert "champion" not in found.get(ModelName("gone"), RegistrySnapshot()).aliases
    assert len(store.client.search_model_versions("name='pets'")) == 2
    assert str(store.client.get_model_version_by_alias("pets", "champion").version) == "1"
    assert [one.name for one in store.client.search_registered_models()] == ["pets"]


def test_a_setting_pins_a_version_by_its_number_and_one_that_is_not_there_serves_nothing(
    store: "MlflowStore", redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    model = ModelName("pets")
    for _ in range(2):
        store.register("champion", "shadow", model=model)

    def found_with(pin: str) -> RegistrySnapshot:
        settings = Registry(url=store.url, pins={"pets": pin})
        return SharedRegistry(redis_client, settings=settings, names=None).read()[model]

    for pin in ("1", "pets:1", "models:/pets/1"):
        assert found_with(pin).aliases == {"champion": "1", "shadow": "2"}
        assert found_with(pin).pin.startswith("DARKROOM_REGISTRY_PINS of the workers pins version 1,")
    with caplog.at_level("WARNING"):
        assert found_with("7").aliases == {"shadow": "2"}
    assert found_with("7").pin.endswith(
        "pins 7, and there is no such version that is ready: no version becomes champion"
    )
    [told] = [record for record in caplog.records if record.message == "pin_not_served"]
    assert vars(told)["reason"] == "there is no such version that is ready"
