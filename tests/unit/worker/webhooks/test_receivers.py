"""A simulation of the courier and receivers of every kind: how soon deliveries arrive, how many attempts are made.

Time and chance are simulated. The courier's rules are repeated here without its threads, sockets and Postgres: how much
it claims with a poll, how many attempts it makes at a time, when a delivery is tried again. The breakers and pauses
are the real ones.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pytest

from shared.domain.identifiers import ANYONE, Owner
from shared.domain.webhooks import pause_after
from shared.settings import Webhooks
from shared.storage.delivery_claims import Receiver
from worker.webhooks.circuit_breakers import CircuitBreakers
from worker.webhooks.courier import GONE, OTHERS_A_POLL, SHARE_OF_OTHERS

pytestmark = pytest.mark.slow  # hours of simulated deliveries

QUICK: Final = 0.02
"""Seconds that an answer takes."""
SECONDS_BETWEEN_POLLS: Final = 0.1
SETTINGS: Final = Webhooks()
HANG: Final = SETTINGS.timeout.total_seconds()
ANN, BOB = Owner("ann"), Owner("bob")

Behaviour = Callable[[float, random.Random], tuple[int, float]]
"""Takes time and chance, returns the status (0 for no answer) and the seconds until it comes."""


def answers(share: float) -> Behaviour:
    """Succeed with this share of attempts."""
    return lambda _, chance: (204 if chance.random() < share else 503, QUICK)


def down_for(down: float, *, of: float) -> Behaviour:
    """Fail for `down` seconds at the beginning of each period of `of` seconds."""
    return lambda now, _: (503 if now % of < down else 204, QUICK)


def hangs(_: float, __: random.Random) -> tuple[int, float]:
    return 0, HANG


@dataclass
class Delivery:
    receiver: Receiver
    behaviour: Behaviour
    made: float
    due: float
    attempts: int = 0
    ended: float | None = None
    status: int = 0


@dataclass
class World:
    """A courier, its deliveries and its clock, in seconds."""

    seed: int
    now: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)
    attempts: Counter[Receiver] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._breakers = CircuitBreakers(SETTINGS, monotonic=lambda: self.now)
        self._under_way: list[tuple[float, int, Delivery, int]] = []
        self._in_hand: Counter[Receiver] = Counter()

    def add(
        self, behaviour: Behaviour, count: int = 1, *, owner: Owner = ANYONE, host: str = "a", at: float = 0
    ) -> None:
        receiver = Receiver(owner, f"https://{host}.example")
        self.deliveries += [Delivery(receiver, behaviour, at, at) for _ in range(count)]

    def play(self, *, until: float) -> None:
        while self.now < until:
            self._end()
            self._poll()
            self.now += SECONDS_BETWEEN_POLLS

    def share_within(self, seconds: float, receiver: Receiver | None = None) -> float:
        """Return the share of deliveries that succeeded within so many seconds of being made."""
        asked = [one for one in self.deliveries if receiver in (None, one.receiver)]
        return sum(one.status == 204 and (one.ended or 0) - one.made <= seconds for one in asked) / len(asked)

    def _end(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, __, one, status = heapq.heappop(self._under_way)
            self._in_hand[one.receiver] -= 1
            took = timedelta(seconds=HANG if status == 0 else QUICK)
            if status == 204:
                self._breakers.succeeded(one.receiver)
            elif status != GONE:
                self._breakers.failed(one.receiver, took=took)
            pause = pause_after(one.attempts, pauses=SETTINGS.pauses, chance=self._chance.random(), retry_after=None)
            if status in (204, GONE) or pause is None:
                one.ended, one.status = self.now, status
            else:
                one.due = self.now + pause.total_seconds()

    def _poll(self) -> None:
        healthy, resting = set(self._breakers.healthy()), set(self._breakers.resting())
        half_open = self._breakers.half_open()
        others = sum(count for one, count in self._in_hand.items() if one not in healthy)
        room_for_others = min(int(SETTINGS.at_once * SHARE_OF_OTHERS) - others, OTHERS_A_POLL)
        room = SETTINGS.at_once - len(self._under_way)
        for one in sorted(self.deliveries, key=lambda one: one.due):
            if one.ended is not None or one.due > self.now or one.receiver in resting:
                continue
            most = half_open.get(one.receiver, SETTINGS.at_once_each)
            if self._in_hand[one.receiver] >= most or room <= 0:
                continue
            if one.receiver not in healthy:
                if room_for_others <= 0:
                    continue
                room_for_others -= 1
            room -= 1
            self._begin(one)

    def _begin(self, one: Delivery) -> None:
        status, takes = one.behaviour(self.now, self._chance)
        one.attempts += 1
        one.due = float("inf")
        self._in_hand[one.receiver] += 1
        self.attempts[one.receiver] += 1
        heapq.heappush(self._under_way, (self.now + takes, id(one), one, status))


@pytest.fixture(params=range(5))
def world(request: pytest.FixtureRequest) -> World:
    return World(seed=request.param)


@pytest.mark.parametrize(
    ("share", "least"),
    [(1.0, 1.0), (0.9, 0.97), (0.62, 0.9), (0.38, 0.6)],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["all at once", "ten a second"])
def test_a_flaky_receiver_gets_most_deliveries_within_a_minute(
    share: float, least: float, world: World, *, at_once: bool
) -> None:
    for number in range(600):
        world.add(answers(share), at=0 if at_once else number / 10)
    world.play(until=121)
    assert world.share_within(60) >= least


def test_a_receiver_that_rarely_answers_still_gets_some_deliveries() -> None:
    worlds = [World(seed=seed) for seed in range(8)]
    for world in worlds:
        world.add(answers(0.1), 600)
        world.play(until=61)
    # Without a breaker three attempts in a minute would bring 27%.
    assert sum(world.share_within(60) for world in worlds) / len(worlds) >= 0.05


def test_a_dead_receiver_gets_few_attempts(world: World) -> None:
    world.add(answers(0), 1000)
    world.play(until=60)
    [asked] = world.attempts.values()
    assert 10 <= asked <= 60, "a thousand wait"
    world.play(until=600)
    [later] = world.attempts.values()
    assert later - asked <= 30


def test_a_recovered_receiver_gets_everything_soon(world: World) -> None:
    for number in range(600):
        world.add(down_for(20, of=60), at=number / 5)
    world.play(until=181)
    assert world.share_within(10) >= 0.7
    assert world.share_within(60) == 1


def test_a_410_for_one_url_does_not_close_others_of_the_host(world: World) -> None:
    for number in range(400):
        world.add(answers(1) if number % 4 == 0 else lambda *_: (GONE, QUICK), at=number / 20)
    world.play(until=25)
    assert {one.status for one in world.deliveries} == {204, GONE}
    assert max((one.ended or 0) - one.made for one in world.deliveries) < 1


def test_one_owners_dead_url_does_not_slow_anothers_at_the_same_host(world: World) -> None:
    for number in range(300):
        world.add(answers(0), owner=ANN, host="shared", at=number / 10)
        world.add(answers(1), owner=BOB, host="shared", at=number / 10)
    world.play(until=60)
    assert world.share_within(1, Receiver(BOB, "https://shared.example")) == 1


def test_one_owners_hanging_url_does_not_slow_anothers_at_the_same_host(world: World) -> None:
    world.add(hangs, 100, owner=ANN, host="shared")
    for number in range(100):
        world.add(answers(1), owner=BOB, host="shared", at=number / 10)
    world.play(until=20)
    assert world.share_within(1, Receiver(BOB, "https://shared.example")) == 1


@pytest.mark.parametrize("share", [1.0, 0.62])
def test_a_thousand_hanging_receivers_do_not_slow_a_healthy_one(share: float) -> None:
    world = World(seed=1)
    world.add(answers(share), host="live")
    world.play(until=1 if share == 1 else 40)
    begin = world.now
    for number in range(1000):
        world.add(hangs, 3, host=f"dead{number}", at=begin)
    for number in range(200):
        world.add(answers(share), host="live", at=begin + number / 10)
    world.play(until=begin + 81)
    assert world.share_within(60, Receiver(ANYONE, "https://live.example")) >= (1 if share == 1 else 0.6)
    assert max(world.attempts.values()) < 1000
