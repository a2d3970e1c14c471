"""A model's workers load a new version in turns, and it serves once all of them have it."""

import threading
import time
from collections.abc import Callable

import pytest
import redis

from shared.domain.identifiers import VersionKey
from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.promotions import SEEN, Promotions
from shared.settings import Queue
from tests.support.registries import MODEL
from worker.models.following.handover import PATIENCE, Handover
from worker.models.following.loading_turns import LoadingTurns

OLD, NEW = VersionKey("1-a"), VersionKey("2-b")


@pytest.fixture
def worker(redis_client: "redis.Redis") -> Callable[[str], Promotions]:
    """Return a worker that has given its sign of life."""

    def sign_on(name: str) -> Promotions:
        Lanes(redis_client, model=MODEL, consumer=name, settings=Queue()).sign_of_life()
        return Promotions(redis_client, model=MODEL, worker=name)

    return sign_on


def fall_silent(client: "redis.Redis", name: str) -> None:
    """Make a worker's last sign of life, and its turn, as old as if it had been killed a while ago."""
    client.zincrby(keys.workers(MODEL), -SEEN.total_seconds() * 1_000_000, name)
    if client.zscore(keys.loading_turns(MODEL), name) is not None:
        client.zadd(keys.loading_turns(MODEL), {name: 1})


def test_one_of_two_workers_loads_at_a_time(worker: Callable[[str], Promotions]) -> None:
    one, two = worker("one"), worker("two")
    assert one.take_turn()
    assert one.take_turn()  # renewed
    assert not two.take_turn()
    one.end_turn()
    assert two.take_turn()


def test_half_of_many_workers_load_at_once(worker: Callable[[str], Promotions]) -> None:
    workers = [worker(str(number)) for number in range(9)]
    assert [one.take_turn() for one in workers] == [True] * 4 + [False] * 5


def test_the_turn_of_a_killed_worker_ends_with_its_lease(
    worker: Callable[[str], Promotions], redis_client: "redis.Redis"
) -> None:
    killed, other = worker("killed"), worker("other")
    assert killed.take_turn()
    fall_silent(redis_client, "killed")
    assert other.take_turn()


def test_a_worker_waits_for_its_turn_and_keeps_it_while_it_loads(worker: Callable[[str], Promotions]) -> None:
    one, two = worker("one"), worker("two")
    order: list[str] = []

    def load(name: str, promotions: Promotions) -> None:
        with LoadingTurns(promotions, stopping=lambda: False).held():
            order.append(f"{name} begins")
            time.sleep(0.05)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=load, args=pair) for pair in (("one", one), ("two", two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = ("one", "two") if order[0].startswith("one") else ("two", "one")
    assert order == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]


def test_a_stopping_worker_does_not_wait_for_its_turn(worker: Callable[[str], Promotions]) -> None:
    one, two = worker("one"), worker("two")
    assert one.take_turn()
    with LoadingTurns(two, stopping=lambda: True).held():
        pass


def test_a_version_serves_once_every_worker_has_loaded_it(worker: Callable[[str], Promotions]) -> None:
    one, two = Handover(worker("one")), Handover(worker("two"))
    swap = {"before": {"champion": OLD}, "wanted": {"champion": NEW}, "loaded": {"champion": NEW}}
    assert one.aliases_to_route(**swap) == {"champion": OLD}
    assert one.waits
    assert two.aliases_to_route(**swap) == {"champion": NEW}
    assert one.aliases_to_route(**swap) == {"champion": NEW}
    assert not one.waits


@pytest.mark.parametrize("alias", ["challenger", "shadow", "staging"])
def test_an_alias_that_is_new_beside_a_champion_serves_once_every_worker_has_loaded_its_version(
    worker: Callable[[str], Promotions], alias: str
) -> None:
    one, two = Handover(worker("one")), Handover(worker("two"))
    begun = {
        "before": {"champion": OLD},
        "wanted": {"champion": OLD, alias: NEW},
        "loaded": {"champion": OLD, alias: NEW},
    }
    assert one.aliases_to_route(**begun) == {"champion": OLD}
    assert one.waits
    assert two.aliases_to_route(**begun) == {"champion": OLD, alias: NEW}
    assert one.aliases_to_route(**begun) == {"champion": OLD, alias: NEW}
    assert not one.waits


def test_a_worker_that_fails_to_load_a_version_keeps_no_other_from_serving_it(
    worker: Callable[[str], Promotions],
) -> None:
    one, two = Handover(worker("one")), Handover(worker("two"))
    swap = {"before": {"champion": OLD}, "wanted": {"champion": NEW}}
    assert two.aliases_to_route(**swap, loaded={"champion": OLD}) == {"champion": OLD}
    assert not two.waits
    assert one.aliases_to_route(**swap, loaded={"champion": NEW}) == {"champion": NEW}


def test_a_killed_worker_is_not_waited_for(worker: Callable[[str], Promotions], redis_client: "redis.Redis") -> None:
    one = Handover(worker("one"))
    worker("killed")
    swap = {"before": {"champion": OLD}, "wanted": {"champion": NEW}, "loaded": {"champion": NEW}}
    assert one.aliases_to_route(**swap) == {"champion": OLD}
    fall_silent(redis_client, "killed")
    assert one.aliases_to_route(**swap) == {"champion": NEW}


def test_a_worker_that_never_loads_a_version_is_waited_for_some_minutes(worker: Callable[[str], Promotions]) -> None:
    clock = [0.0]
    one = Handover(worker("one"), monotonic=lambda: clock[0])
    worker("stuck")
    swap = {"before": {"champion": OLD}, "wanted": {"champion": NEW}, "loaded": {"champion": NEW}}
    assert one.aliases_to_route(**swap) == {"champion": OLD}
    clock[0] = PATIENCE.total_seconds() + 1
    assert one.aliases_to_route(**swap) == {"champion": NEW}


def test_the_first_champion_serves_at_once(worker: Callable[[str], Promotions]) -> None:
    one = Handover(worker("one"))
    worker("late")
    first = {"champion": NEW, "challenger": OLD}
    assert one.aliases_to_route(before={}, wanted=first, loaded=first) == first
