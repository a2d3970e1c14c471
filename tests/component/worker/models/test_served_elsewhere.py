"""Whether other workers serve a model too: whoever has none to leave its work to goes on serving."""

import pytest
import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from worker.models.following.served_elsewhere import NOTED, ServedElsewhere

MODEL = ModelName("m")
KEY = VersionKey("3-b")


@pytest.mark.parametrize(
    ("alive", "others"),
    [
        ([], False),
        (["here"], False),  # it has left the model, and its last sign is still there
        (["there"], True),  # it has loaded the model, and gives its first sign a moment later
        (["here", "there"], True),
    ],
)
def test_a_worker_is_no_other_of_its_own_whether_it_gives_signs_or_not(
    redis_client: redis.Redis, alive: list[str], *, others: bool
) -> None:
    for name in alive:
        Scripts(redis_client).run(Script.SIGN, (keys.workers(MODEL),), name)
    assert ServedElsewhere(MODEL, worker="here", client=redis_client).has_others() is others


def test_a_version_is_left_to_workers_that_have_not_failed_to_load_it_lately(redis_client: redis.Redis) -> None:
    one, two = (ServedElsewhere(MODEL, worker=name, client=redis_client) for name in ("one", "two"))
    assert not one.may_load(KEY), "there is nobody else"
    for name in ("one", "two"):
        Scripts(redis_client).run(Script.SIGN, (keys.workers(MODEL),), name)
    assert one.may_load(KEY)
    assert one.may_load(KEY)
    assert not two.may_load(KEY)
    assert not one.may_load(KEY)
    assert one.may_load(VersionKey("4-c")), "another version"
    assert 0 < redis_client.pttl(keys.unable_workers(MODEL, KEY)) <= NOTED.total_seconds() * 1000
    redis_client.delete(keys.unable_workers(MODEL, KEY))
    assert two.may_load(KEY)


def test_what_can_not_be_noted_is_left_to_nobody(redis_client: redis.Redis) -> None:
    for name in ("one", "two"):
        Scripts(redis_client).run(Script.SIGN, (keys.workers(MODEL),), name)
    redis_client.set(keys.unable_workers(MODEL, KEY), "no set: refused as in a Redis that is full")
    assert not ServedElsewhere(MODEL, worker="one", client=redis_client).may_load(KEY)


def test_a_worker_that_fell_silent_is_none(redis_client: redis.Redis) -> None:
    redis_client.zadd(keys.workers(MODEL), {"there": 1})
    assert not ServedElsewhere(MODEL, worker="here", client=redis_client).has_others()
