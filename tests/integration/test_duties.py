"""Signs of life of the roles besides predicting, and how late their work is."""

from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine

from shared.queue import keys
from shared.queue.inspection import duties
from shared.queue.inspection.duties import (
    LATE_AFTER,
    MOST_BELLS,
    ROLES,
    SIGNER_GONE,
    SILENT_AFTER,
    Duty,
    Sign,
    State,
)
from shared.settings import Bulk, Queue
from shared.storage.deliveries import overdue
from tests.support.observations import upkeep_metrics
from worker.upkeep.sweep import Upkeep

NOW, NEVER = timedelta(0), None
A_BIT = timedelta(seconds=1)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("silence", "oldest", "bells", "state", "said"),
    [
        (NOW, NOW, 0, State.READY, ""),
        (SILENT_AFTER, LATE_AFTER, MOST_BELLS, State.READY, ""),
        (NEVER, NOW, 0, State.MISSING, "no worker has ever"),
        (SILENT_AFTER + A_BIT, NOW, 0, State.MISSING, "for 21 s"),
        (NOW, LATE_AFTER + A_BIT, 0, State.LATE, "61 s"),
        (NOW, NOW, MOST_BELLS + 1, State.LATE, "31 of its Celery tasks wait"),
        (NEVER, LATE_AFTER + A_BIT, MOST_BELLS + 1, State.MISSING, "31 of its Celery tasks wait"),
    ],
)
def test_a_role_is_ready_late_or_missing_and_says_why(
    role: str, silence: timedelta | None, oldest: timedelta, bells: int, state: State, said: str
) -> None:
    duty = Duty(role=role, silence=silence, bells=bells, oldest=oldest)
    assert duty.state is state
    assert said in duty.words
    assert bool(duty.words) is (state is not State.READY)


def test_duties_are_read_from_signs_of_life_and_waiting_work(redis_client: redis.Redis) -> None:
    assert {(duty.silence, duty.bells, duty.oldest) for duty in duties.read_duties(redis_client)} == {(None, 0, NOW)}
    now, _ = redis_client.time()
    Sign(redis_client, "record", name="w").give()
    redis_client.zadd(keys.signs("upkeep"), {"w": (now - 100) * 1e6})
    redis_client.xadd(keys.STARTED, {"id": "x"}, id=f"{(now - 50) * 1000}-0")
    redis_client.lpush("webhooks", "bell", "bell")
    record, webhooks, upkeep = duties.read_duties(redis_client)
    assert record.silence is not None
    assert record.silence < timedelta(seconds=10)
    assert (webhooks.silence, webhooks.bells) == (None, 2)
    assert timedelta(seconds=49) < webhooks.oldest < timedelta(seconds=70)
    assert upkeep.silence is not None
    assert timedelta(seconds=99) < upkeep.silence < timedelta(seconds=120)


def test_signs_of_life_are_written_at_most_every_two_seconds(redis_client: redis.Redis) -> None:
    now = 0.0
    sign = Sign(redis_client, "webhooks", name="w", monotonic=lambda: now)
    given = []
    for now in (10.0, 11.9, 12.0, 12.1, 20.0):  # noqa: B007  the clock reads it
        redis_client.delete(keys.signs("webhooks"))
        sign.give()
        given.append(redis_client.exists(keys.signs("webhooks")))
    assert given == [1, 0, 1, 0, 1]
    sign.leave()
    assert not redis_client.exists(keys.signs("webhooks"))


def test_a_sweep_writes_its_sign_at_the_end_and_forgets_old_workers(redis_client: redis.Redis, engine: Engine) -> None:
    now, _ = redis_client.time()
    gone = now - 2 * SIGNER_GONE.total_seconds()
    redis_client.zadd(keys.signs("record"), {"gone": gone * 1e6, "silent": (now - 3600) * 1e6})
    signed: list[bool] = []
    Upkeep(
        redis_client, engine, settings=Queue(), bulk=Bulk(), metrics=upkeep_metrics(), sign=lambda: signed.append(True)
    ).sweep()
    assert signed == [True]
    assert redis_client.zrange(keys.signs("record"), 0, -1) == [b"silent"]


def test_a_role_without_due_work_is_not_overdue(engine: Engine) -> None:
    with engine.connect() as connection:
        found = overdue(connection, by=NOW)
    assert (found.count, found.oldest) == (0, NOW)
