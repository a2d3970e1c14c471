"""A predictor on a real Redis, with a model that reads each picture's number back."""

from collections.abc import Callable, Sequence
from typing import Any

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.queue import keys
from tests.simulation.pictures import PictureModel, output
from worker.models.errors import ModelUnavailable, OutOfMemory
from worker.predict.model_protocols import Models
from worker.predict.predictor import Predictor

MODEL = ModelName("m")
LANE = keys.lane(MODEL, keys.INTERACTIVE)
VERSION = "3-a"


class Pictures(PictureModel):
    """A picture model of one version."""

    def __init__(self, version: str = VERSION) -> None:
        super().__init__(version, pauses=0)


class Watched(Pictures):
    """A picture model that records its micro-batches' sizes; more than `room` images raise OutOfMemory."""

    def __init__(self, version: str = VERSION, *, room: int = 1000) -> None:
        super().__init__(version)
        self.sizes: list[int] = []
        self._room = room

    def predict(self, images: Sequence[Any]) -> list[bytes]:
        self.sizes.append(len(images))
        if len(images) > self._room:
            raise OutOfMemory(f"{len(images)} images")
        return super().predict(images)


class Versions:
    """The versions that load."""

    def __init__(self, *models: Pictures) -> None:
        self._models = {model._version: model for model in models}

    def has_to_load(self, _: VersionKey) -> bool:
        return False

    def loaded(self, key: VersionKey) -> Pictures:
        if key not in self._models:
            raise ModelUnavailable(f"no version {key}\nand more")
        return self._models[key]


class AnyMembers:
    """Takes every member of a pipeline from these models, by its version's key alone."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def has_to_load(self, _: ModelName, key: VersionKey) -> bool:
        return self._models.has_to_load(key)

    def loaded(self, _: ModelName, key: VersionKey) -> Any:
        return self._models.loaded(key)


Submit = Callable[..., str]
Make = Callable[..., Predictor]


def job(client: redis.Redis, id: str, *fields: str) -> tuple[str, ...]:
    values = client.hmget(f"job:{id}", *(fields or ("state", "output", "code")))
    return tuple((value or b"").decode() for value in values)


def said(number: int, version: str = VERSION) -> tuple[str, str, str]:
    """The job's fields once its picture was predicted."""
    return ("succeeded", output(version, number).decode(), "")
