"""An image of a version that its worker can't load and others serve does not fail: another worker computes it."""

from datetime import timedelta

import redis

from shared.domain.identifiers import VersionKey
from shared.queue import keys
from tests.simulation.pictures import picture
from tests.support.pipelines import Send
from tests.support.predictors import LANE, MODEL, VERSION, Make, Submit, Watched, job, said
from worker.predict.left_to_others import LONGEST, PAUSE

LONG = timedelta(minutes=1)
"""A lease that does not end in a test."""


class Clock:
    """A clock that stands until it is put forward."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_an_image_of_a_version_that_others_serve_is_left_to_them(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    asked: list[VersionKey] = []

    def is_served_elsewhere(key: VersionKey) -> bool:
        asked.append(key)
        return key == VERSION

    jobs = [submit(10), submit(11), submit(12, version="9-gone"), submit(13, version="4-b")]
    lacking = predictor(Watched("4-b"), worker="lacking", lease=LONG, is_served_elsewhere=is_served_elsewhere)
    lacking.poll()
    assert [job(redis_client, id, "state", "code") for id in jobs] == [
        *[("processing", "")] * 2, ("failed", "model_unavailable"), ("succeeded", "")
    ]  # fmt: skip
    assert sorted(asked) == [VERSION, "9-gone"], "asked once a version, and not of what was computed"
    able = predictor(Watched(), worker="able", lease=LONG)
    assert [able.poll()["images"] for _ in range(3)] == [1, 1, 0]
    assert [job(redis_client, id) for id in jobs[:2]] == [said(10), said(11)]
    assert [job(redis_client, id, "attempts") for id in jobs[:2]] == [("1",)] * 2
    assert redis_client.xlen(LANE) == 0


def test_a_worker_takes_nothing_more_for_a_moment(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    clock = Clock()
    lacking = predictor(monotonic=clock, turn=LONG, lease=LONG, is_served_elsewhere=lambda _: True)
    submit(10)
    assert lacking.poll()["images"] == 1
    submit(11)
    assert lacking.poll()["images"] == 0, "neither the new one nor what it has handed back"
    assert redis_client.xpending(LANE, keys.WORKERS)["pending"] == 1
    clock.seconds += PAUSE.total_seconds()
    assert lacking.poll()["images"] > 0


def test_images_that_nobody_can_compute_end_after_a_while(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    clock = Clock()
    both = [
        predictor(worker=name, monotonic=clock, lease=LONG, is_served_elsewhere=lambda _: True) for name in ("a", "b")
    ]
    id = submit(10)
    while job(redis_client, id, "state") != ("failed",):
        for one in both:
            one.poll()
        clock.seconds += PAUSE.total_seconds()
        assert clock.seconds < 100 + 2 * LONGEST.total_seconds(), "it goes to and fro for ever"
    assert job(redis_client, id, "code", "error") == ("model_unavailable", f"no version {VERSION} and more")


def test_a_suspect_that_is_left_keeps_the_attempts_that_it_had(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    clock = Clock()
    id = submit(10)
    redis_client.xreadgroup(keys.WORKERS, "dead", {LANE: ">"})
    lacking = predictor(worker="lacking", lease=timedelta(0), monotonic=clock, is_served_elsewhere=lambda _: True)
    for _ in range(3):
        assert lacking.poll()["images"] == 1
        clock.seconds += PAUSE.total_seconds()
    predictor(Watched(), worker="able", lease=timedelta(0)).poll()
    assert job(redis_client, id) == said(10)
    assert job(redis_client, id, "attempts") == ("2",)


def test_a_pipeline_is_left_for_a_version_of_its_lanes_model_and_asked_about_no_other(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    asked: list[VersionKey] = []

    def is_served_elsewhere(key: VersionKey) -> bool:
        asked.append(key)
        return len(asked) == 1

    id = send({"models": [MODEL, "other"]}, picture(10), numbers={"other": "2"})
    lacking = predictor(lease=LONG, is_served_elsewhere=is_served_elsewhere)
    lacking.poll()
    assert job(redis_client, id, "state") == ("processing",)
    assert asked == ["1-x"]
    predictor(lease=LONG).poll()
    assert job(redis_client, id, "state", "code") == ("failed", "model_unavailable"), "that one leaves nothing"
