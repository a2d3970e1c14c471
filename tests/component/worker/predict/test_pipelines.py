"""Pipelines on a real Redis: one entry, every step computed here, one output."""

import io

import numpy as np
import pytest
import redis

from tests.support.pipelines import CHAIN, CROPS, ENSEMBLE, RED, Halves, Members, Send, Shades, answer, picture
from tests.support.predictors import Make


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


def test_an_array_is_computed_as_a_picture_is(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8))
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    id = send(CROPS, file.getvalue())
    worker.poll()
    (result,) = answer(redis_client, id)["pipeline"]["steps"][1]["results"]
    assert result["output"]["predicted_class"] == "bright"
