"""Which bells a predictor answers and rings, and how it takes over the entries of a dead worker."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import redis

from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.leases import end_leases
from tests.support.predictors import LANE, MODEL, Make, Pictures, Submit, Watched, job, said
from worker.predict.leases import LeasedEntries
from worker.predict.predictor import RECLAIM_PAUSE
from worker.predict.slots import BatchSlots

# Bells


def test_a_bell_for_another_model_is_not_answered(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    submit(10)
    assert predictor(Watched()).answer_bell("an older token")["images"] == 0
    token = redis_client.get(keys.bell(MODEL)).decode()
    assert predictor(Watched()).answer_bell(token)["images"] == 1


def test_another_worker_is_woken_before_computing_unless_nothing_is_left(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    rung: list[int] = []

    class Listening(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            rung.append(redis_client.exists(keys.bell(MODEL)))
            return super().predict(images)

    for number in range(10, 15):
        submit(number)
    one = predictor(Listening(), max_batch_size=4)
    assert [one.poll()["images"] for _ in range(2)] == [4, 1]
    assert rung == [1, 0]


def test_a_task_continues_until_the_lanes_are_empty(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    for number in range(10, 19):
        submit(number)
    model = Watched()
    token = redis_client.get(keys.bell(MODEL)).decode()
    report = predictor(model, max_batch_size=4, turn=timedelta(hours=1)).answer_bell(token)
    assert (report["batches"], report["images"], model.sizes) == (3, 9, [4, 4, 1])


def test_work_that_arrives_during_a_task_wakes_another_worker(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    class Followed(Watched):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            if not self.sizes:
                submit(11)
            return super().predict(images)

    submit(10)
    redis_client.delete(keys.predict_queue(MODEL))
    model = Followed()
    assert predictor(model, turn=timedelta(hours=1)).poll()["batches"] == 2
    assert redis_client.llen(keys.predict_queue(MODEL)) == 1
    assert redis_client.exists(keys.bell(MODEL)) == 1


def test_a_task_that_ends_leaves_the_rest_to_the_bell(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    now = [100.0]

    class Slow(Watched):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            now[0] += 0.03
            return super().predict(images)

    for number in range(10, 26):
        submit(number)
    redis_client.delete(keys.predict_queue(MODEL))
    one = predictor(Slow(), max_batch_size=4, turn=timedelta(seconds=0.05), monotonic=lambda: now[0])
    assert one.poll()["batches"] == 2
    assert redis_client.llen(keys.predict_queue(MODEL)) == 1


def test_a_micro_batch_that_is_not_full_waits_for_more_entries(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    in_hand = LeasedEntries()
    held: list[int] = []

    class Holding(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            held.append(len(in_hand.entries()))
            return super().predict(images)

    first, later = submit(10), threading.Timer(0.05, submit, (11,))
    later.start()
    report = predictor(Holding(), leased=in_hand, max_wait=timedelta(seconds=0.3)).poll()
    later.join()
    assert (report["images"], held) == (2, [2])
    assert job(redis_client, first) == said(10)
    assert in_hand.entries() == []


# Suspects


def test_a_dead_workers_entries_run_alone_and_another_worker_is_woken(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [submit(number) for number in (10, 11)]
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    jobs.append(submit(12))
    redis_client.delete(keys.bell(MODEL), keys.predict_queue(MODEL))
    end_leases(redis_client)
    model = Watched()
    one = predictor(model)
    assert one.poll()["batches"] == 2  # what is new, then one of them
    assert redis_client.llen(keys.predict_queue(MODEL)) == 1
    assert [one.poll()["images"] for _ in range(2)] == [1, 0]
    assert model.sizes == [1, 1, 1]
    assert [job(redis_client, id) for id in jobs] == [said(10), said(11), said(12)]
    assert [job(redis_client, id, "attempts") for id in jobs] == [("2",), ("2",), ("1",)]


def test_suspects_are_searched_for_periodically(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    now = [100.0]
    one = predictor(Watched(), monotonic=lambda: now[0])
    assert one.poll()["images"] == 0
    submit(10)
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    end_leases(redis_client)
    assert one.poll()["images"] == 0
    now[0] += RECLAIM_PAUSE.total_seconds()
    assert one.poll()["images"] == 1


def test_a_suspect_is_claimed_only_when_nothing_else_runs_in_the_process(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    id, slots = submit(10), BatchSlots(2)
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    end_leases(redis_client)
    redis_client.delete(keys.bell(MODEL), keys.predict_queue(MODEL))
    one = threading.Thread(target=predictor(Watched(), slots=slots).poll)
    with slots.shared():
        one.start()
        time.sleep(0.05)
        (pending,) = redis_client.xpending_range(LANE, keys.WORKERS, "-", "+", 9)
        assert (pending["consumer"], pending["times_delivered"]) == (b"dead", 1)
        assert redis_client.llen(keys.predict_queue(MODEL)) == 1  # another may take it meanwhile
    one.join()
    assert job(redis_client, id) == said(10)
