"""Pictures with many crops: more than one micro-batch's forward passes, computed in parts with others in between."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import redis

from shared.domain.identifiers import ANYONE
from shared.queue.lua import Script, Scripts
from tests.support import waiting
from tests.support.leases import end_leases
from tests.support.pipelines import CROPS, RED, Halves, Members, Send, Shades, answer, picture
from tests.support.predictors import Make, Pictures, Submit, job, said
from tests.support.waiting import LIMIT
from worker.predict.leases import LeasedEntries
from worker.predict.slots import BatchSlots

until = partial(waiting.until, pause=0.002)


class Many(Halves):
    """A detector that finds 32 boxes in any picture."""

    def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
        box = {"label": "right", "score": 0.9, "box": [0, 0, 1, 2]}
        return [orjson.dumps({"detections": [box] * 32})] * len(images), None


class Stopping(Shades):
    """Stops in its second forward pass until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stopped, self.goes_on = threading.Event(), threading.Event()

    def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
        if len(self.passes) == 1:
            self.is_stopped.set()
            self.goes_on.wait(timeout=LIMIT)
        return super().predict_scored(images)


def pictures(send: Send, count: int) -> list[str]:
    return [send(CROPS, picture((red, 0, 0), RED)) for red in range(count)]


def state(client: redis.Redis, id: str) -> str:
    return job(client, id, "state")[0]


def all_ended(client: redis.Redis, ids: Sequence[str]) -> bool:
    return all(state(client, id) in {"succeeded", "failed", "canceled"} for id in ids)


def test_a_micro_batch_holds_64_crops_and_the_rest_follows_in_parts_that_have_the_time_of_one_each(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    seconds = [0.0]
    leased = LeasedEntries(clock=lambda: seconds[0])
    held: list[tuple[timedelta, int]] = []

    class Slow(Shades):
        """Takes a minute a pass."""

        def predict_scored(self, images: Sequence[Any]) -> tuple[list[bytes], Any]:
            seconds[0] += 60
            held.append((leased.longest(), len(leased.entries())))
            return super().predict_scored(images)

    classifier = Slow()
    worker = predictor(members=Members(m=Many(), b=classifier), leased=leased, max_batch_size=64)
    ids = pictures(send, 5)
    report = worker.poll()
    assert (report["batches"], report["images"]) == (1, 5)
    assert [state(redis_client, id) for id in ids[:2]] == ["succeeded"] * 2
    until(lambda: all_ended(redis_client, ids))
    assert classifier.passes == [64, 64, 32]
    assert held == [(timedelta(seconds=60), 5), (timedelta(seconds=60), 3), (timedelta(seconds=60), 1)]
    assert all(len(answer(redis_client, id)["pipeline"]["steps"][1]["results"]) == 32 for id in ids)
    until(lambda: worker.unfinished.count() == 0)
    assert worker.unfinished.entries() == []


def test_what_is_unfinished_holds_up_nobody_and_what_is_canceled_meanwhile_is_left_out(
    send: Send, submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    classifier = Stopping()
    worker = predictor(Pictures(), members=Members(m=Many(), b=classifier), slots=BatchSlots(2), max_batch_size=64)
    ids = pictures(send, 5)
    worker.poll()
    assert classifier.is_stopped.wait(timeout=LIMIT)
    image, later = submit(7), send(CROPS, picture((9, 9, 9), RED))
    worker.poll()
    assert job(redis_client, image) == said(7)
    assert state(redis_client, later) == "processing"  # after those that were there before it
    Scripts(redis_client).run(Script.CANCEL, (), "task", ids[4], "user", ANYONE)
    classifier.goes_on.set()
    until(lambda: all_ended(redis_client, [*ids, later]))
    assert [state(redis_client, id) for id in ids] == ["succeeded"] * 4 + ["canceled"]
    assert classifier.passes == [64, 64, 32]


def test_a_suspect_runs_once_nothing_is_unfinished_that_would_be_suspected_with_it(
    send: Send, submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    classifier = Stopping()
    now = [0.0]
    worker = predictor(
        Pictures(),
        members=Members(m=Many(), b=classifier),
        slots=BatchSlots(2),
        max_batch_size=64,
        monotonic=lambda: now[0],
    )
    ids = pictures(send, 5)
    worker.poll()
    assert classifier.is_stopped.wait(timeout=LIMIT)
    lost = submit(7)
    predictor(worker="gone")._lanes.pull(1)
    end_leases(redis_client)
    now[0] += 1  # suspects are searched for now and then
    report = worker.poll()
    assert (report["images"], state(redis_client, lost)) == (0, "starting")
    new = submit(8)
    worker.poll()
    assert state(redis_client, new) == "starting"  # nothing is pulled either: the suspect's turn has to come
    classifier.goes_on.set()
    until(lambda: all_ended(redis_client, ids) and worker.unfinished.count() == 0)

    def both_ended() -> bool:
        now[0] += 1
        worker.poll()
        return all_ended(redis_client, [lost, new])

    until(both_ended)
    assert (job(redis_client, lost), job(redis_client, new)) == (said(7), said(8))
    assert job(redis_client, lost, "attempts") == ("2",)
