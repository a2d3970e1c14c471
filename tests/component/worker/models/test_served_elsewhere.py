"""Whether other workers serve a model too: whoever has none to leave its work to goes on serving."""

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from worker.models.following.served_elsewhere import ServedElsewhere

MODEL = ModelName("m")


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


def test_a_worker_that_fell_silent_is_none(redis_client: redis.Redis) -> None:
    redis_client.zadd(keys.workers(MODEL), {"there": 1})
    assert not ServedElsewhere(MODEL, worker="here", client=redis_client).has_others()
