"""A picture on which champion and shadow disagree is kept, by the parts as the predict role connects them."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared import settings
from shared.domain.identifiers import Digest, Owner, PredictionId, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.keep_rule import KEEP_IMAGES
from shared.domain.model_reference import Reference
from shared.domain.model_route import SHADOW_PERCENT
from shared.observability.metrics import PictureMetrics, PredictMetrics
from shared.pictures.folder_store import FolderStore
from shared.queue import model_routes
from shared.queue.lua import Script, source
from shared.queue.producer.submission import Submission, prepared, submit_command
from tests.support.deferred_imports import deferred
from tests.support.number_models import picture
from tests.support.registries import MODEL, MlflowStore
from tests.support.waiting import LIMIT
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.models.registry.registry_reader import RegistryReader
from worker.models.versions.load_attempts import LoadingGate
from worker.predict.kept_pictures import KeptPictures
from worker.predict.leases import LeasedEntries
from worker.predict.slots import BatchSlots

if TYPE_CHECKING:
    from worker.roles.model_parts import ModelParts

member_versions = deferred("worker.models.versions.member_versions")
memory_budget = deferred("worker.models.versions.memory_budget")
model_parts = deferred("worker.roles.model_parts")

ANN = Owner("ann")


@pytest.fixture
def kept(redis_client: redis.Redis, tmp_path: Path) -> Iterator[KeptPictures]:
    store = FolderStore(tmp_path / "kept")
    store.make()
    kept = KeptPictures(store, redis_client, PictureMetrics(CollectorRegistry()), most_bytes=1_000_000)
    yield kept
    kept.stop()


@pytest.fixture
def parts(mlflow_store: MlflowStore, redis_client: redis.Redis, kept: KeptPictures) -> Iterator["ModelParts"]:
    """The parts of a model whose shadow has the champion's scores and other labels for them."""
    mlflow_store.register("champion")
    mlflow_store.register("shadow", metadata={"image": {"crop_size": 4}, "labels": ["other", "another"]})
    mlflow_store.client.set_registered_model_tag(MODEL, SHADOW_PERCENT, "100")
    mlflow_store.client.set_registered_model_tag(MODEL, KEEP_IMAGES, "disagree")
    registry, predict = settings.Registry(url=mlflow_store.url), settings.Predict(device="cpu")
    metrics, budget, gate = PredictMetrics(CollectorRegistry()), memory_budget.MemoryBudget(2**30), LoadingGate()
    decoders = DecoderPool(1, longest=timedelta(seconds=5), max_pixels=1_000_000)
    threads = DecodeThreads(1)
    members = member_versions.MemberVersions(
        followed=dict,
        client=redis_client,
        registry=registry,
        predict=predict,
        max_batch_size=4,
        max_pixels=1_000_000,
        metrics=metrics,
        budget=budget,
        gate=gate,
    )
    shared = model_parts.SharedParts(
        worker="w",
        client=redis_client,
        registry=registry,
        predict=predict,
        queue=settings.Queue(),
        batching=settings.Batching(),
        intake=settings.Intake(),
        metrics=metrics,
        budget=budget,
        gate=gate,
        members=members,
        slots=BatchSlots(1),
        leased=LeasedEntries(),
        decoders=decoders,
        threads=threads,
        pictures=kept,
        tracing=None,
    )
    reader = RegistryReader(registry)
    parts = shared.parts_of(MODEL, read=lambda: reader.read(MODEL))
    parts.lanes.sign_of_life()
    parts.follower.refresh()
    yield parts
    parts.follower.stop()
    threads.stop()
    decoders.stop()


def submit(client: redis.Redis, image: bytes) -> None:
    """Submit an image for the version that its route chooses."""
    route = model_routes.read(client, MODEL)
    assert route is not None
    digest = Digest(hashlib.sha256(image).hexdigest())
    submission = Submission(
        id=PredictionId(new_uuid7()),
        owner=ANN,
        choice=route.choose(Reference(name=MODEL), digest=digest),
        image=image,
        facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(image), filename=None),
        metadata={},
        base_url="",
    )
    client.script_load(source(Script.SUBMIT))
    client.execute_command(*submit_command(prepared(submission), settings=settings.Queue(), memory_is_high=False))


def test_a_picture_on_which_champion_and_shadow_disagree_is_kept(
    parts: "ModelParts", kept: KeptPictures, redis_client: redis.Redis, tmp_path: Path
) -> None:
    image = picture(7)
    submit(redis_client, image)
    assert parts.predictor.poll()["images"] == 1
    assert kept.wait_until_written(seconds=LIMIT)
    assert list(FolderStore(tmp_path / "kept").pictures()) == []  # nobody has disagreed yet
    assert parts.shadowing.run_pass([MODEL])
    assert kept.wait_until_written(seconds=LIMIT)
    [found] = FolderStore(tmp_path / "kept").pictures()
    digest = hashlib.sha256(image).hexdigest()
    assert found.name == f"ann/{MODEL}/{digest[:2]}/{digest}.png"


def test_with_no_such_rule_it_is_not(
    parts: "ModelParts", kept: KeptPictures, mlflow_store: MlflowStore, redis_client: redis.Redis, tmp_path: Path
) -> None:
    mlflow_store.client.set_registered_model_tag(MODEL, KEEP_IMAGES, "below 0.01")
    parts.follower.refresh()
    submit(redis_client, picture(7))
    assert parts.predictor.poll()["images"] == 1
    assert parts.shadowing.run_pass([MODEL])
    assert kept.wait_until_written(seconds=LIMIT)
    assert list(FolderStore(tmp_path / "kept").pictures()) == []
