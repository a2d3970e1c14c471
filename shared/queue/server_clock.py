"""Redis' clock, which all processes share: those of their machines may differ, and jump."""

from typing import Any

import redis


def server_time(client: redis.Redis) -> float:
    """Return seconds since 1970."""
    reply: Any = client.time()
    seconds, micros = reply
    return float(seconds + micros / 1_000_000)
