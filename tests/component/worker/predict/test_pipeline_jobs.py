"""The queue's rules hold for pipelines: joining, deadlines, cancels, idempotency, killed workers."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import redis

from shared.domain.identifiers import ANYONE, PredictionId, new_uuid7
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from tests.simulation.scheduler import Abandoned
from tests.support import waiting
from tests.support.leases import end_leases
from tests.support.pipelines import CROPS, ENSEMBLE, POISON, RED, Halves, Members, Send, Shades, answer, picture
from tests.support.predictors import Make, job


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
        end_leases(redis_client)
        second.poll()
        return all(job(redis_client, one, "state") == ("succeeded",) for one in (id, beside))

    waiting.until(both_ended, pause=0)
    assert job(redis_client, id, "attempts") == ("2",)
    assert len(redis_client.xrange(keys.FINISHED)) == 2


def test_a_picture_that_kills_every_worker_is_given_up(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    id, beside = send(CROPS, picture(RED, POISON)), send(CROPS, picture(RED, RED))

    def ended() -> bool:
        end_leases(redis_client)
        with contextlib.suppress(Abandoned):
            predictor(worker=new_uuid7(), members=Members(m=Halves(), b=Shades())).poll()
        return all(job(redis_client, one, "state")[0] in {"succeeded", "failed"} for one in (id, beside))

    waiting.until(ended, pause=0)
    assert job(redis_client, id, "state", "code") == ("failed", "worker_lost")
    assert job(redis_client, beside, "state") == ("succeeded",)
