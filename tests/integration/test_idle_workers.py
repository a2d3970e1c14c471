"""What idle workers ask of Redis does not grow with the models that each of them serves."""

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.queue_system import BULK, MODEL, System


def lanes_of(client: redis.Redis, count: int) -> list[Lanes]:
    names = [MODEL, *(ModelName(f"other {number}") for number in range(count - 1))]
    return [Lanes(client, model=name, consumer="w", settings=Queue()) for name in names]


def calls(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@pytest.mark.parametrize("models", [1, 200])
def test_all_models_are_checked_with_one_call_and_signed_for_with_another(
    redis_client: redis.Redis, models: int
) -> None:
    first, *others = lanes_of(redis_client, models)
    first.sign_of_life(*others)
    first.lanes_with_entries(*others)
    redis_client.config_resetstat()
    assert first.lanes_with_entries(*others) == []
    first.sign_of_life(*others)
    assert calls(redis_client) == 2
    assert {bool(redis_client.zscore(keys.workers(ModelName(f"other {n}")), "w")) for n in range(models - 1)} <= {True}
    assert redis_client.zscore(keys.workers(MODEL), "w")


def test_a_model_is_polled_while_its_lanes_hold_anything(redis_client: redis.Redis, system: System) -> None:
    first, *others = lanes_of(redis_client, 3)
    assert others[0].lanes_with_entries(first) == []
    for lane in (keys.INTERACTIVE, BULK[0]):
        id = system.submit(b"1", lane=lane)
        assert others[0].lanes_with_entries(others[1], first) == [first]
        assert len(system.lanes.pull(2).entries) == 1  # leased: its worker may be gone
        assert first.lanes_with_entries(*others) == [first]
        system.cancel(id)
        system.lanes.pull(2)  # takes an empty bulk lane out of the rotation
        assert first.lanes_with_entries(*others) == []
