"""The demo model is real: trained, measured on images it has never seen, registered, and served as any other."""

import json
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from shared.domain.identifiers import ModelName
from shared.queue import keys, model_routes
from shared.settings import Registry
from tests.support.deferred_imports import deferred
from tests.support.followers import Followers
from worker.decode.preprocessing import decode
from worker.models.registry.mlflow_setup import configure_mlflow_client

digits = deferred("cli.demo.digits")
pytestmark = pytest.mark.xdist_group("registry")  # one process imports scikit-learn too


@pytest.mark.timeout(300)
def test_the_demo_model_is_trained_registered_and_served(
    tmp_path: Path, followers: Followers, redis_client: "redis.Redis"
) -> None:
    configure_mlflow_client(Registry())
    url, folder = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "digits"
    said: list[str] = []
    trained = digits.ensure_registered(registry_url=url, folder=folder, progress=said.append)
    assert trained.accuracy is not None
    assert trained.accuracy >= 0.97
    assert said

    files = sorted(folder.iterdir())
    assert len(files) == digits.HELD_OUT
    follower = followers.make(ModelName("digits"), url=url, max_batch_size=64)
    follower.refresh()
    data = redis_client.get(keys.route(ModelName("digits")))
    assert isinstance(data, bytes)
    version = model_routes.parse(data).versions[model_routes.parse(data).aliases["champion"]]
    assert version.number == trained.version
    assert version.metrics["accuracy"] == pytest.approx(trained.accuracy)
    assert len(version.parameters["data_sha256"]) == 64
    model = follower.loaded(version.key)
    outputs = model.predict([decode(file.read_bytes(), model.spec, max_pixels=10_000) for file in files])
    hits = [json.loads(output)["predicted_class"] == file.name[0] for output, file in zip(outputs, files, strict=True)]
    assert np.mean(hits) == pytest.approx(trained.accuracy)

    said.clear()
    (folder / files[0].name).unlink()
    again = digits.ensure_registered(registry_url=url, folder=folder, progress=said.append)
    assert again == trained
    assert len(list(folder.iterdir())) == digits.HELD_OUT
    said.clear()
    assert digits.ensure_registered(registry_url=url, folder=folder, progress=said.append) == trained
    assert said == []


def test_no_held_out_image_is_used_for_training() -> None:
    scans = digits.read_scans()
    assert not set(scans.training) & set(scans.held_out)
    assert len(scans.training) + len(scans.held_out) == len(scans.pixels) == 1797
    assert scans.sha256() == digits.read_scans().sha256()


def test_an_image_is_named_after_what_it_shows(tmp_path: Path) -> None:
    scans = digits.read_scans()
    digits._write_images(scans, tmp_path)
    for file in tmp_path.iterdir():
        label, index = file.stem.split("-")
        assert scans.labels[int(index)] == int(label)
        assert np.array_equal(np.asarray(Image.open(file)), scans.pixels[int(index)])
