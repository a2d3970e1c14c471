"""An image of a version that its worker can't load and others may have does not fail: another worker computes it."""

from datetime import timedelta

import redis

from shared.domain.identifiers import VersionKey
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from tests.simulation.pictures import picture
from tests.support.pipelines import Send
from tests.support.predictors import LANE, MODEL, VERSION, Make, Submit, Watched, job, said
from worker.models.following.served_elsewhere import ServedElsewhere
from worker.predict.left_to_others import PAUSE

LONG = timedelta(minutes=1)
"""A lease that does not end in a test."""


class Clock:
    """A clock that stands until it is put forward."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_an_image_of_a_version_that_others_may_have_is_left_to_them(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    asked: list[VersionKey] = []

    def leaves_to_others(key: VersionKey) -> bool:
        asked.append(key)
        return key == VERSION

    jobs = [submit(10), submit(11), submit(12, version="9-gone"), submit(13, version="4-b")]
    lacking = predictor(Watched("4-b"), worker="lacking", lease=LONG, leaves_to_others=leaves_to_others)
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
    lacking = predictor(monotonic=clock, turn=LONG, lease=LONG, leaves_to_others=lambda _: True)
    submit(10)
    assert lacking.poll()["images"] == 1
    submit(11)
    assert lacking.poll()["images"] == 0, "neither the new one nor what it has handed back"
    assert redis_client.xpending(LANE, keys.WORKERS)["pending"] == 1
    clock.seconds += PAUSE.total_seconds()
    assert lacking.poll()["images"] > 0


def test_an_image_that_nobody_can_compute_goes_to_each_worker_once(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    names = ("a", "b", "c")
    elsewhere = {name: ServedElsewhere(MODEL, worker=name, client=redis_client) for name in names}
    workers = [predictor(worker=name, lease=LONG, leaves_to_others=elsewhere[name].may_load) for name in names]
    for name in names:
        Scripts(redis_client).run(Script.SIGN, (keys.workers(MODEL),), name)
    id = submit(10)
    states = [(one.poll()["images"], job(redis_client, id, "state")) for one in workers]
    assert states == [(1, ("processing",)), (1, ("processing",)), (1, ("failed",))]
    assert job(redis_client, id, "code", "error") == ("model_unavailable", f"no version {VERSION} and more")
    # All have noted it: the next one fails at once.
    other = submit(11)
    assert workers[-1].poll()["images"] == 1
    assert job(redis_client, other, "state") == ("failed",)


def test_a_suspect_that_is_left_keeps_the_attempts_that_it_had(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    clock = Clock()
    id = submit(10)
    redis_client.xreadgroup(keys.WORKERS, "dead", {LANE: ">"})
    lacking = predictor(worker="lacking", lease=timedelta(0), monotonic=clock, leaves_to_others=lambda _: True)
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

    def leaves_to_others(key: VersionKey) -> bool:
        asked.append(key)
        return len(asked) == 1

    id = send({"models": [MODEL, "other"]}, picture(10), numbers={"other": "2"})
    lacking = predictor(lease=LONG, leaves_to_others=leaves_to_others)
    lacking.poll()
    assert job(redis_client, id, "state") == ("processing",)
    assert asked == ["1-x"]
    predictor(lease=LONG).poll()
    assert job(redis_client, id, "state", "code") == ("failed", "model_unavailable"), "that one leaves nothing"
