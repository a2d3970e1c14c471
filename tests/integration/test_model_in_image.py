"""A version that is inside the worker's image: a registry in files, which a worker only reads."""

import hashlib
from pathlib import Path

import numpy as np
import redis

from shared.queue import keys, model_routes
from shared.settings import Predict, Registry
from tests.support.deferred_imports import deferred
from tests.support.observations import predict_metrics
from tests.support.registries import MODEL, MlflowStore
from tests.support.tuning import usual_tuning
from worker.models.registry.mlflow_setup import configure_mlflow_client

registry_follower = deferred("worker.models.following.registry_follower")


def test_a_worker_serves_from_a_registry_in_files_and_writes_nothing_there(
    mlflow_store: MlflowStore, redis_client: "redis.Redis"
) -> None:
    key = mlflow_store.register("champion")
    before = digests(mlflow_store.directory)
    configure_mlflow_client(Registry())
    follower = registry_follower.RegistryFollower(
        MODEL,
        worker="worker",
        client=redis_client,
        registry=Registry(url=mlflow_store.url),
        predict=Predict(device="cpu"),
        usual=usual_tuning(4),
        max_pixels=1_000_000,
        metrics=predict_metrics(),
    )
    follower.refresh()
    route = redis_client.get(keys.route(MODEL))
    assert isinstance(route, bytes)
    assert {version.key for version in model_routes.parse(route).versions.values()} == {key}
    assert len(follower.loaded(key).predict([np.zeros((4, 4, 3), np.uint8)] * 2)) == 2
    follower.stop()
    assert digests(mlflow_store.directory) == before


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
