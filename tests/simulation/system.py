"""What all actors of a history share."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import redis

from shared import settings
from shared.domain.identifiers import ModelName
from shared.queue import keys
from tests.simulation import pictures
from tests.simulation.conditions import Conditions
from tests.simulation.promises import Promises
from tests.simulation.scheduler import SteppedRedis

MODEL = ModelName("m")
LANES = (keys.INTERACTIVE, "bulk:b1", "bulk:b2")
OWNERS = ("x", "y")
BATCH_SIZE = 4
LAPSED_MS = 10_000_000


@dataclass(kw_only=True)
class System:
    """One history's Redis, settings and state.

    Before each command on `stepped` other actors may run, and the actor may be killed; not on `plain`.
    """

    random: random.Random
    conditions: Conditions
    plain: redis.Redis
    stepped: SteppedRedis
    queue: settings.Queue
    promises: Promises = field(default_factory=Promises)
    versions: Sequence[str] = ("3-a", "4-b")
    version: str = "3-a"
    postgres_up: bool = True

    def lanes(self) -> list[str]:
        """Return the streams of the lanes that there are."""
        return [lane for name in LANES if self.plain.exists(lane := keys.lane(MODEL, name))]


def make_system(client: redis.Redis, *, seed: int, conditions: Conditions) -> System:
    """Return a new system on a Redis."""
    queue = settings.Queue(
        max_failed_bytes=3 * len(pictures.picture(pictures.RAISES)),
        max_waiters=4,
        max_lane_depth=30,
        max_attempts=3,
        lease=timedelta(milliseconds=LAPSED_MS // 2 if conditions.leases_hold else 0),
    )
    stepped = SteppedRedis(connection_pool=client.connection_pool)
    return System(random=random.Random(seed), conditions=conditions, plain=client, stepped=stepped, queue=queue)
