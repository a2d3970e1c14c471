"""Models, pictures and definitions of pipelines that a predictor on a real Redis computes."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import redis
from PIL import Image

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.image import ImageSpec
from shared.domain.model_reference import Reference
from shared.domain.model_route import Choice
from shared.domain.pipeline import parse_pipeline
from shared.domain.pipeline_plan import choose_plan
from tests.simulation.scheduler import die
from tests.support.predictors import job
from worker.models.errors import ModelUnavailable, OutOfMemory
from worker.models.outputs.classification import scores_to_json

LABELS = ("dark", "bright")
RED = (255, 0, 0)
POISON = (13, 13, 13)


class Shades:
    """Classifies by the red of the first pixel: `bright` has red/255, plus `bias`. Records its passes' sizes."""

    spec = ImageSpec(resize_size=None, crop_size=(1, 1))
    fast_decoder = None
    needs_size = False
    enough: int | None = None
    names = LABELS

    def __init__(self, *, bias: float = 0.0, room: int = 1000) -> None:
        self.passes: list[int] = []
        self._bias = bias
        self._room = room

    def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
        self.passes.append(len(images))
        if len(images) > self._room:
            raise OutOfMemory("too many")
        colours = [tuple(int(part) for part in image[0, 0]) for image in images]
        if POISON in colours:
            die()
        if (7, 7, 7) in colours:
            raise ValueError("no such colour")
        bright = np.array([colour[0] / 255 + self._bias for colour in colours])
        scores = np.stack([1 - bright, bright], axis=1)
        return self.write_scores(scores), scores

    def write_scores(self, scores: Any) -> list[bytes]:
        return scores_to_json(scores, labels=LABELS, top_k=2)

    def predict(self, images: Sequence[Any]) -> list[bytes]:
        return self.predict_scored(images)[0]


class Halves(Shades):
    """A detector that finds the left half (`left`) and the right half (`right`) of any picture."""

    needs_size = True
    names = ()

    def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
        self.passes.append(len(images))
        found = []
        for image in images:
            width, height = image.size
            left = {"label": "left", "score": 0.9, "box": [0, 0, width / 2, height]}
            right = {"label": "right", "score": 0.8, "box": [width / 2, 0, width, height]}
            found.append(orjson.dumps({"detections": [left, right]}))
        return found, None


Send = Callable[..., str]
"""Submits a picture for a pipeline; returns the id."""


class Members:
    """The versions of the test, by model."""

    def __init__(self, **models: Any) -> None:
        self._models = models

    def has_to_load(self, *_: object) -> bool:
        return False

    def loaded(self, model: ModelName, _: VersionKey) -> Any:
        if isinstance(found := self._models.get(model), str) or found is None:
            raise ModelUnavailable(found or "no such version")
        return found


def picture(*colours: tuple[int, int, int], width: int = 1) -> bytes:
    """Return a PNG with these colours beside each other."""
    file = io.BytesIO()
    image = Image.new("RGB", (width * len(colours), 2))
    for place, colour in enumerate(colours):
        image.paste(colour, (place * width, 0, (place + 1) * width, 2))
    image.save(file, "PNG")
    return file.getvalue()


def choice(definition: dict[str, Any], **numbers: str) -> Choice:
    """Resolve a definition; `numbers` are the champions' versions, 1 where nothing is said."""

    def choose(reference: Reference) -> Choice:
        name, number = str(reference.name), numbers.get(str(reference.name), "1")
        return Choice(
            model=ModelName(name), version=VersionNumber(number), key=VersionKey(f"{number}-x"), variant="champion"
        )

    return choose_plan(parse_pipeline(definition), name=ModelName("named"), choose=choose)


def answer(client: redis.Redis, id: str) -> Any:
    state, output, error = job(client, id, "state", "output", "error")
    assert state == "succeeded", error
    return orjson.loads(output)


ENSEMBLE = {"models": ["m", "b"]}
CROPS = {"models": ["m"], "then": {"model": "b", "when": {"class": ["right"]}, "crop": True}}
CHAIN = {"models": ["m"], "then": {"model": "b", "when": {"class": ["bright"]}}}
