"""What a pipeline answers where a model, a picture or an output of it fails."""

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from tests.support.pipelines import ENSEMBLE, RED, Halves, Members, Send, Shades, answer, picture
from tests.support.predictors import Make, job
from worker.models.errors import ModelError


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


THENS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one": ({"model": "b"}, {"b": "none"}),
    "two": ({"models": ["b", "c"]}, {"b": "none", "c": "none either"}),
    "uncombined": ({"models": ["b", "c"]}, {"b": Shades(), "c": Halves()}),
}


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("case", THENS)
def test_each_result_of_a_second_step_without_an_output_says_what_each_model_said(
    send: Send, predictor: Make, redis_client: redis.Redis, case: str, *, crop: bool
) -> None:
    then, members = THENS[case]
    worker = predictor(members=Members(m=Halves(), **members))
    id = send({"models": ["m"], "then": {**then, "crop": crop}, "on_error": "degrade"}, picture(RED, RED))
    worker.poll()
    output = answer(redis_client, id)["pipeline"]
    results = output["steps"][1]["results"]
    assert (output["degraded"], len(results)) == (True, 2 if crop else 1)
    for result in results:
        assert result["error"]
        assert [said["model"] for said in result["models"]] == list(members)
        reasons = [said["error"] for said in result["models"] if "error" in said]
        assert reasons == [why for why in members.values() if isinstance(why, str)]


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
