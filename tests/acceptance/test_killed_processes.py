"""Processes killed at any instant: each accepted prediction ends, has one row, and the audit finds nothing."""

import random
import time

import psycopg2

from shared.queue import keys
from tests.support.breakable_stack import Breakable, colour, picture
from tests.support.faulty_model import CLASSES, SLOW
from tests.support.load import Load, reckon, settle
from tests.support.waiting import until


def test_killing_predict_workers_during_a_micro_batch_loses_no_job(breakable: Breakable) -> None:
    numbers = range(20_000, 20_008)
    with breakable.stopped("predict"):
        ids = [breakable.submit(picture(number)) for number in numbers]
        slow = breakable.submit(colour(*SLOW))
    until(lambda: breakable.prediction(slow)["status"] == "processing", what="the batch has begun")
    breakable.kill(*breakable.pids("predict"))
    for id, number in zip(ids, numbers, strict=True):
        found = breakable.ended(id)
        assert (found["status"], found["output"]["predicted_index"]) == ("succeeded", number % CLASSES)
        assert found["attempts"] == 2
    assert breakable.ended(slow)["attempts"] == 2
    settle(breakable, [*ids, slow])
    breakable.wait_until_mended()
    breakable.audit()


def test_a_recorder_killed_between_commit_and_ack_records_each_job_once(breakable: Breakable) -> None:
    """A lock delays the commit until Redis is paused: the commit then succeeds and its acknowledgement can't."""
    rows_before = breakable.count_rows()
    lock = psycopg2.connect(breakable.postgres.url)
    try:
        with lock, lock.cursor() as cursor:
            cursor.execute("LOCK TABLE predictions IN SHARE MODE")
            ids = [breakable.submit(picture(number)) for number in range(21_000, 21_030)]
            for id in ids:
                breakable.ended(id)
            until(lambda: _is_waiting_for_the_lock(breakable), what="a recorder is about to commit")
            in_hand = _in_hand(breakable)
            breakable.redis.client_pause(30_000, all=False)
    finally:
        lock.close()
    until(lambda: breakable.count_rows() >= rows_before + len(in_hand), what="its rows are there")
    breakable.kill(*breakable.pids("record"))
    committed = breakable.rows(ids)
    breakable.redis.ping()  # by its answer Redis has noticed that the recorder's connections ended
    breakable.redis.execute_command("CLIENT", "UNPAUSE")
    unsettled = _in_hand(breakable)
    assert unsettled
    assert committed.keys() >= unsettled
    settle(breakable, ids)
    breakable.wait_until_mended()
    assert breakable.count_rows() == rows_before + len(ids)
    assert committed.items() <= breakable.rows(ids).items()
    assert all(breakable.redis.ttl(f"job:{id}") > 0 for id in ids)
    breakable.audit()


def _in_hand(system: Breakable) -> set[str]:
    """Return the ids that recorders have read and not acknowledged."""
    pending = {one["message_id"] for one in system.redis.xpending_range(keys.FINISHED, keys.RECORDERS, "-", "+", 999)}
    return {record[b"id"].decode() for entry, record in system.redis.xrange(keys.FINISHED) if entry in pending}


def _is_waiting_for_the_lock(system: Breakable) -> bool:
    connection = psycopg2.connect(system.postgres.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'predictions'::regclass AND NOT granted")
        (count,) = cursor.fetchone()
    connection.close()
    return bool(count)


def test_processes_killed_under_load_lose_and_duplicate_nothing(breakable: Breakable) -> None:
    chance = random.Random(time.time_ns())
    rows_before = breakable.count_rows()
    with Load(breakable.stack.url, first=30_000) as load:
        load.wait_for_more(100)
        for role in chance.sample(["api", "api", "predict", "predict", "record", "record"], 6):
            time.sleep(chance.uniform(0.3, 1.5))
            if pids := breakable.pids(role):  # it may not be back yet
                breakable.kill(chance.choice(pids))
        load.wait_for_more(100)
    assert load.broken > 0
    reckon(breakable, load, rows_before=rows_before)
