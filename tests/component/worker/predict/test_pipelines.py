"""Pipelines on a real Redis: one entry, every step computed here, one output; and what the queue's rules make of it."""

import contextlib
import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import orjson
import pytest
import redis
from PIL import Image

from shared.domain.identifiers import ANYONE, Digest, ModelName, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts, ImageSpec
from shared.domain.model_reference import Reference
from shared.domain.model_route import Choice
from shared.domain.pipeline import parse_pipeline
from shared.domain.pipeline_plan import choose_plan
from shared.queue import keys
from shared.queue.lua import Script, Scripts, source
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import Submission, is_staged, prepared, submit_command
from shared.settings import Queue
from tests.simulation.scheduler import Abandoned, die
from tests.support import waiting
from tests.support.predictors import LEASE, Make, job
from worker.models.errors import ModelError, ModelUnavailable, OutOfMemory
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


Send = Callable[..., str]


@pytest.fixture
def send(redis_client: redis.Redis) -> Send:
    """Submit a picture for a pipeline, whose first model's lane is `m`; returns the id."""
    redis_client.script_load(source(Script.SUBMIT))

    def send(definition: dict[str, Any], data: bytes, **options: Any) -> str:
        digest = Digest(hashlib.sha256(data).hexdigest())
        submission = Submission(
            id=PredictionId(new_uuid7()),
            owner=ANYONE,
            choice=choice(definition, **options.pop("numbers", {})),
            image=data,
            facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(data), filename=None),
            metadata={},
            base_url="",
            **options,
        )
        if is_staged(data, Queue()):
            redis_client.execute_command(*stage_command(submission))
        redis_client.execute_command(*submit_command(prepared(submission), settings=Queue(), memory_is_high=False))
        return submission.id

    return send


def answer(client: redis.Redis, id: str) -> Any:
    state, output, error = job(client, id, "state", "output", "error")
    assert state == "succeeded", error
    return orjson.loads(output)


ENSEMBLE = {"models": ["m", "b"]}
CROPS = {"models": ["m"], "then": {"model": "b", "when": {"class": ["right"]}, "crop": True}}
CHAIN = {"models": ["m"], "then": {"model": "b", "when": {"class": ["bright"]}}}


def test_each_image_of_an_ensemble_gets_its_own_mean_from_one_pass_a_model(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    one, other = Shades(), Shades(bias=-0.1)
    worker = predictor(members=Members(m=one, b=other))
    reds = [51, 102, 153, 204, 255]
    ids = [send(ENSEMBLE, picture((red, 0, 0))) for red in reds]
    worker.poll()
    assert (one.passes, other.passes) == ([5], [5])
    for id, red in zip(ids, reds, strict=True):
        output = answer(redis_client, id)
        assert output["probabilities"]["bright"] == pytest.approx(red / 255 - 0.05, abs=1e-6)
        (step,) = output["pipeline"]["steps"]
        assert step["combined_by"] == "mean"
        assert [said["output"]["probabilities"]["bright"] for said in step["models"]] == [
            pytest.approx(red / 255, abs=1e-6),
            pytest.approx(red / 255 - 0.1, abs=1e-6),
        ]


def test_different_pipelines_of_a_micro_batch_share_a_models_pass(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    one, other = Shades(), Shades()
    worker = predictor(members=Members(m=one, b=other))
    ids = [send(ENSEMBLE, picture(RED)), send(CHAIN, picture((0, 0, 0)))]
    worker.poll()
    assert one.passes == [2]
    assert [answer(redis_client, id)["predicted_class"] for id in ids] == ["bright", "dark"]


def test_a_chain_goes_on_where_its_condition_is_met(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    second = Shades(bias=-0.2)
    worker = predictor(members=Members(m=Shades(), b=second))
    met, unmet = send(CHAIN, picture(RED)), send(CHAIN, picture((0, 0, 0)))
    worker.poll()
    assert second.passes == [1]
    output = answer(redis_client, met)
    assert output["confidence"] == pytest.approx(0.8)
    first, then = output["pipeline"]["steps"]
    assert first["output"]["confidence"] == 1
    assert (then["when"], len(then["results"])) == ({"class": ["bright"]}, 1)
    output = answer(redis_client, unmet)
    assert output["predicted_class"] == "dark"
    assert output["pipeline"]["steps"][1]["results"] == []


def test_the_crop_of_each_box_that_counts_goes_on(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    classifier = Shades()
    worker = predictor(members=Members(m=Halves(), b=classifier))
    bright, dark = (send(CROPS, picture((0, 0, 0) if red else RED, (red, 0, 0), width=3)) for red in (255, 0))
    worker.poll()
    assert classifier.passes == [2]
    for id, said in ((bright, "bright"), (dark, "dark")):
        output = answer(redis_client, id)
        assert len(output["detections"]) == 2
        (result,) = output["pipeline"]["steps"][1]["results"]
        assert (result["detection"], result["box"]) == (1, [3, 0, 6, 2])
        assert result["output"]["predicted_class"] == said


def test_crops_are_of_the_picture_as_it_is_shown_upright(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    file = io.BytesIO()
    image = Image.new("RGB", (2, 4))  # stored lying; turned by its orientation, its lower half is on the left
    image.paste(RED, (0, 0, 2, 2))
    image.save(file, "PNG", exif=_rotated_clockwise())
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    id = send(CROPS, file.getvalue())
    worker.poll()
    (result,) = answer(redis_client, id)["pipeline"]["steps"][1]["results"]
    assert result["box"] == [2, 0, 4, 2]
    assert result["output"]["predicted_class"] == "bright"


def _rotated_clockwise() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_an_array_is_computed_as_a_picture_is(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8))
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    id = send(CROPS, file.getvalue())
    worker.poll()
    (result,) = answer(redis_client, id)["pipeline"]["steps"][1]["results"]
    assert result["output"]["predicted_class"] == "bright"


def test_a_bad_crop_fails_its_picture_alone(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    bad, good = send(CROPS, picture(RED, (7, 7, 7))), send(CROPS, picture(RED, RED))
    degrading = send({**CROPS, "on_error": "degrade"}, picture(RED, (7, 7, 7), width=2))
    worker.poll()
    assert job(redis_client, bad, "state", "code", "error") == (
        "failed",
        "model_error",
        "b: ValueError: no such colour",
    )
    assert answer(redis_client, good)["pipeline"]["degraded"] is False
    output = answer(redis_client, degrading)
    assert output["pipeline"]["degraded"] is True
    assert output["pipeline"]["steps"][1]["results"][0]["error_code"] == "model_error"


@pytest.mark.parametrize("missing", ["it can't be loaded", None])
def test_a_member_that_is_missing_fails_or_degrades(
    send: Send, predictor: Make, redis_client: redis.Redis, missing: str | None
) -> None:
    worker = predictor(members=Members(m=Shades(), b=missing))
    failed, degraded = send(ENSEMBLE, picture(RED)), send({**ENSEMBLE, "on_error": "degrade"}, picture(RED))
    worker.poll()
    assert job(redis_client, failed, "state", "code") == ("failed", "model_unavailable")
    output = answer(redis_client, degraded)
    assert output["confidence"] == 1
    assert [said.get("error_code") for said in output["pipeline"]["steps"][0]["models"]] == [None, "model_unavailable"]


def test_a_degraded_answer_is_not_cached_and_a_whole_one_is(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    degrading = {**ENSEMBLE, "on_error": "degrade"}
    send(degrading, picture(RED))
    predictor(members=Members(m=Shades())).poll()
    second = send(degrading, picture(RED))
    assert job(redis_client, second, "state") == ("starting",)
    predictor(members=Members(m=Shades(), b=Shades())).poll()
    third = send(degrading, picture(RED))
    assert job(redis_client, third, "state", "source") == ("succeeded", "cache")
    assert answer(redis_client, third)["pipeline"]["degraded"] is False


def test_equal_pipelines_join_and_a_promotion_of_any_member_computes_anew(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    one = Shades()
    worker = predictor(members=Members(m=one, b=Shades()))
    ids = [send(ENSEMBLE, picture(RED)), send(ENSEMBLE, picture(RED))]
    ids.append(send(ENSEMBLE, picture(RED), numbers={"b": "2"}))
    worker.poll()
    assert one.passes == [2]  # one for the two that joined, one for the other version
    assert [job(redis_client, id, "source")[0] for id in ids] == ["model", "coalesced", "model"]


def test_a_canceled_and_an_expired_pipeline_are_not_computed(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    one = Shades()
    worker = predictor(members=Members(m=one, b=Shades()))
    canceled = send(ENSEMBLE, picture(RED))
    Scripts(redis_client).run(Script.CANCEL, (), "task", canceled, "user", ANYONE)
    late = send(ENSEMBLE, picture((1, 0, 0)), cancel_after=timedelta(microseconds=1))
    worker.poll()
    assert one.passes == []
    assert job(redis_client, canceled, "state") == ("canceled",)
    assert job(redis_client, late, "state", "code") == ("canceled", "deadline_exceeded")


def test_an_idempotency_key_answers_with_the_first_prediction(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    first = send(ENSEMBLE, picture(RED), idempotency_key="k", fingerprint="same")
    again = send(ENSEMBLE, picture(RED), idempotency_key="k", fingerprint="same")
    predictor(members=Members(m=Shades(), b=Shades())).poll()
    assert answer(redis_client, first)["predicted_class"] == "bright"
    assert not redis_client.exists(keys.job(PredictionId(again)))


def test_a_worker_killed_in_the_middle_of_a_chain_leaves_one_answer(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    id, beside = send(CROPS, picture(RED, POISON)), send(CROPS, picture(RED, RED))
    with pytest.raises(Abandoned):
        predictor(worker="first", members=Members(m=Halves(), b=Shades())).poll()
    assert job(redis_client, id, "state") == ("processing",)

    class Cured(Shades):
        """Takes the picture that killed the first worker."""

        def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
            return super().predict_scored([np.full_like(image, 200) for image in images])

    second = predictor(worker="second", members=Members(m=Halves(), b=Cured()))

    def both_ended() -> bool:
        second.poll()
        return all(job(redis_client, one, "state") == ("succeeded",) for one in (id, beside))

    waiting.until(both_ended, pause=LEASE.total_seconds())
    assert job(redis_client, id, "attempts") == ("2",)
    assert len(redis_client.xrange(keys.FINISHED)) == 2


def test_a_picture_that_kills_every_worker_is_given_up(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    id, beside = send(CROPS, picture(RED, POISON)), send(CROPS, picture(RED, RED))

    def ended() -> bool:
        with contextlib.suppress(Abandoned):
            predictor(worker=new_uuid7(), members=Members(m=Halves(), b=Shades())).poll()
        return all(job(redis_client, one, "state")[0] in {"succeeded", "failed"} for one in (id, beside))

    waiting.until(ended, pause=LEASE.total_seconds())
    assert job(redis_client, id, "state", "code") == ("failed", "worker_lost")
    assert job(redis_client, beside, "state") == ("succeeded",)


def test_too_little_memory_for_all_crops_takes_them_in_parts(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    classifier = Shades(room=2)
    worker = predictor(members=Members(m=Halves(), b=classifier))
    ids = [send(CROPS, picture(RED, (red, 0, 0))) for red in (10, 20, 30, 40)]
    worker.poll()
    assert classifier.passes == [4, 2, 2]
    assert [answer(redis_client, id)["pipeline"]["degraded"] for id in ids] == [False] * 4


def test_an_undecodable_picture_fails_alone(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    worker = predictor(members=Members(m=Shades(), b=Shades()))
    bad, good = send(ENSEMBLE, picture(RED)[:-24]), send(ENSEMBLE, picture(RED))
    worker.poll()
    assert job(redis_client, bad, "state", "code") == ("failed", "undecodable_image")
    assert job(redis_client, good, "state") == ("succeeded",)


def test_an_output_that_can_not_be_used_is_its_models_failure(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    class Broken(Shades):
        """Has no output for any picture."""

        def predict_scored(self, images: Sequence[Any]) -> tuple[list[Any], Any]:
            return [ModelError("not finite")] * len(images), None

    worker = predictor(members=Members(m=Shades(), b=Broken()))
    id = send(ENSEMBLE, picture(RED))
    worker.poll()
    assert job(redis_client, id, "state", "error") == ("failed", "b: ModelError: not finite")
