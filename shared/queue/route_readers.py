"""Which gateways answer by which routes, so that a command can tell when all of them answer by what it has changed.

A gateway says after each read, once a second, that it answers by what it read, and by Redis' clock when the read began.
One that says nothing for SEEN is forgotten, and no longer waited for: killed, most likely. If it was merely held up it
accepts nothing by its old routes: it reads them anew first, and again where it finds that it was forgotten meanwhile.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import redis

from shared.queue import keys
from shared.queue.lua import Script
from shared.queue.server_clock import server_time_us

SEEN: Final = timedelta(seconds=5)
"""A gateway is waited for so long after the last read that it told of, and accepts images so long by it."""
_SEEN_US: Final = SEEN // timedelta(microseconds=1)

Arguments = tuple[Script, tuple[str, ...], str, int, int]


def answering(gateway: str, *, as_of_us: int) -> Arguments:
    """Return the script call by which a gateway says when it read; its reply is 0 where it has to read once more."""
    return Script.ANSWER_BY_ROUTES, (keys.ROUTE_READERS,), gateway, as_of_us, _SEEN_US


def late(client: redis.Redis, *, since_us: int) -> list[str]:
    """Return the gateways that may still accept images by routes read before `since_us`, by Redis' clock; sorted."""
    oldest = server_time_us(client) - _SEEN_US
    found: Any = client.zrange(keys.ROUTE_READERS, oldest, f"({since_us}", byscore=True)
    return sorted(name.decode() for name in found)


def wait_for_all(client: redis.Redis, *, pause: Callable[[list[str]], object]) -> None:
    """Return once every gateway answers by the routes as they are now, or later ones: within SEEN and a pause.

    `pause` is called with the gateways that are late, and returns when to look again. Raises what Redis raises.
    """
    since_us = server_time_us(client)
    while gateways := late(client, since_us=since_us):
        pause(gateways)
