"""One micro-batch on a real Redis, with a model that reads each picture's number back."""

import random
import weakref
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis

from shared.queue import bells, keys
from shared.queue.lua import Script, Scripts
from tests.simulation.pictures import RAISES, UNREADABLE, output, picture
from tests.support.predictors import LANE, VERSION, Make, Pictures, Submit, Watched, job, said
from worker.models.errors import OutOfMemory
from worker.predict.batch_limit import LOWERED_FOR


def test_each_job_gets_the_output_of_its_own_picture(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    numbers = random.Random(1).choices(range(10, 60), k=64)  # with duplicates
    jobs = [(submit(number), number) for number in numbers]
    model = Watched()
    report = predictor(model).poll()
    assert report["images"] == model.sizes[0] == len(set(numbers))
    assert [job(redis_client, id) for id, _ in jobs] == [said(number) for number in numbers]
    assert redis_client.xlen(LANE) == 0


def test_a_micro_batch_that_raises_is_halved_down_to_the_faulty_picture(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    numbers = [10, 11, RAISES, 12, 13, 14, 15, 16]
    jobs = [submit(number) for number in numbers]
    model = Watched()
    assert predictor(model).poll()["images"] == 8
    assert model.sizes == [8, 4, 2, 2, 1, 1, 4]
    assert [job(redis_client, id) for id in jobs] == [
        said(number) if number != RAISES else ("failed", "", "model_error") for number in numbers
    ]
    assert job(redis_client, jobs[2], "error") == ("ValueError: no such picture",)
    (run,) = {job(redis_client, id, "run") for id in jobs}
    assert orjson.loads(run[0])["batch_size"] == 8


def test_a_model_that_raises_for_every_picture_fails_each(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    class Broken(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            raise RuntimeError(f"\n\x00 {len(images)} \ud800\nsecond line" + "x" * 10)

    jobs = [submit(number) for number in (10, 11, 12)]
    predictor(Broken()).poll()
    assert {job(redis_client, id, "state", "code", "error") for id in jobs} == {
        ("failed", "model_error", "RuntimeError: 1 ? second linexxxxxxxxxx")
    }


class PanicException(BaseException):
    """As libraries written in Rust raise it."""


@pytest.mark.parametrize(
    "raised", [SystemExit(3), PanicException("index out of bounds"), KeyboardInterrupt(), GeneratorExit()]
)
def test_whatever_a_model_raises_for_a_picture_fails_that_picture_alone(
    submit: Submit, predictor: Make, redis_client: redis.Redis, raised: BaseException
) -> None:
    class Exits(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            if any(image[0, 0, 2] == 11 for image in images):
                raise raised
            return super().predict(images)

    jobs = [submit(number) for number in (10, 11, 12)]
    predictor(Exits()).poll()
    assert [job(redis_client, id) for id in jobs] == [said(10), ("failed", "", "model_error"), said(12)]


def test_a_model_that_returns_too_few_outputs_fails_all_of_them(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    class Short(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            return super().predict(images)[1:]

    jobs = [submit(number) for number in (10, 11, 12)]
    predictor(Short()).poll()
    assert {job(redis_client, id) for id in jobs} == {("failed", "", "model_error")}


def test_once_a_version_is_known_no_more_are_taken_than_are_cheaper_together(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    for number in range(10, 22):
        submit(number)
    model = Watched()
    model.enough = 4
    one = predictor(model, max_batch_size=6)
    assert [one.poll()["images"] for _ in range(3)] == [6, 4, 2]
    assert redis_client.xlen(LANE) == 0


def test_out_of_memory_halves_the_micro_batch_and_lowers_the_limit(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [(submit(number), number) for number in range(10, 42)]
    model = Watched(room=5)
    one = predictor(model, max_batch_size=16)
    assert [one.poll()["images"] for _ in range(5)] == [16, 4, 4, 4, 4]
    assert model.sizes == [16, 8, 4, 4, 8, 4, 4, 4, 4, 4, 4]
    assert [job(redis_client, id) for id, _ in jobs] == [said(number) for _, number in jobs]


def test_a_lowered_limit_is_restored_after_a_while(submit: Submit, predictor: Make) -> None:
    now = [100.0]
    one = predictor(Watched(room=5), max_batch_size=8, monotonic=lambda: now[0])
    for number in range(10, 30):
        submit(number)
    assert [one.poll()["images"] for _ in range(2)] == [8, 4]
    now[0] += LOWERED_FOR.total_seconds()
    assert one.poll()["images"] == 8


def test_a_picture_that_runs_out_of_memory_alone_fails(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    id = submit(10)
    predictor(Watched(room=0)).poll()
    assert job(redis_client, id, "code", "error") == ("model_error", "OutOfMemory: 1 images")


def test_memory_of_the_failed_pass_is_freed_before_the_halves_run(submit: Submit, predictor: Make) -> None:
    class Activations:
        pass

    class Greedy(Pictures):
        held: list["weakref.ref[Activations]"] = []  # noqa: RUF012  one model, one test

        def predict(self, images: Sequence[Any]) -> list[bytes]:
            assert all(reference() is None for reference in self.held)
            activations = Activations()
            self.held.append(weakref.ref(activations))
            if len(images) > 1:
                raise OutOfMemory
            return super().predict(images)

    for number in range(10, 18):
        submit(number)
    predictor(Greedy()).poll()
    assert len(Greedy.held) == 15


def test_a_picture_that_cannot_be_decoded_fails_alone_and_never_reaches_the_model(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    numbers = [10, UNREADABLE, 11]
    jobs = [submit(number) for number in numbers]
    model = Watched()
    assert predictor(model).poll()["images"] == 3
    assert model.sizes == [2]
    assert [job(redis_client, id) for id in jobs] == [said(10), ("failed", "", "undecodable_image"), said(11)]


def test_nothing_over_the_pixel_limit_is_decoded(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    large = picture(10)[:16] + (10_000).to_bytes(4, "big") * 2 + picture(10)[24:]
    id = submit(0, data=large)
    model = Watched()
    predictor(model).poll()
    assert job(redis_client, id, "code") == ("undecodable_image",)
    assert model.sizes == []


def test_entries_of_a_version_that_does_not_load_fail_and_the_others_are_predicted(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [submit(10), submit(11, version="9-gone"), submit(12, version="4-b"), submit(10, version="4-b")]
    first, second = Watched(), Watched("4-b")
    assert predictor(first, second).poll()["images"] == 4
    assert [job(redis_client, id) for id in jobs] == [
        said(10), ("failed", "", "model_unavailable"), said(12, "4-b"), said(10, "4-b")
    ]  # fmt: skip
    assert job(redis_client, jobs[1], "error") == ("no version 9-gone and more",)
    assert (first.sizes, second.sizes) == ([1], [2])


def test_only_successes_are_cached(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    for number in (10, RAISES, UNREADABLE):
        submit(number)
    predictor(Watched()).poll()
    assert [redis_client.get(key) for key in redis_client.keys("cache:*")] == [output(VERSION, 10)]
    assert job(redis_client, submit(10), "state", "source") == ("succeeded", "cache")
    assert job(redis_client, submit(RAISES), "state") == ("starting",)


def test_canceled_jobs_are_not_computed(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    id = submit(10)
    Scripts(redis_client).run(Script.CANCEL, (), bells.record_message(), id, "user", "")
    model = Watched()
    assert predictor(model).poll() == {"model": "m", "batches": 0, "images": 0, "batch_size": 0.0, "ms": 0.0}
    assert model.sizes == []


def test_bulk_beside_interactive_work_is_sized_by_measured_speed(submit: Submit, predictor: Make) -> None:
    clock = [0.0]

    class Slow(Watched):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            clock[0] += 0.001 * len(images)
            return super().predict(images)

    model = Slow()
    one = predictor(model, monotonic=lambda: clock[0], max_batch_size=32, beside_people=timedelta(milliseconds=4))
    for number in range(1000, 1600):
        submit(number, lane=keys.bulk_lane("b"))
    for _ in range(15):  # until it knows how slow the model is
        one.poll()
    assert set(model.sizes) == {32}, "without people batches are full"
    submit(2000)
    one.poll()
    assert model.sizes[-1] == 4
