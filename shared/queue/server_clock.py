"""Redis' clock, which all processes share: those of their machines may differ, and jump."""

from collections.abc import Sequence
from typing import Any

import redis


def microseconds(reply: Sequence[Any]) -> int:
    """Return microseconds since 1970 of the reply to TIME: whole seconds, and microseconds besides."""
    seconds, micros = reply
    return int(seconds) * 1_000_000 + int(micros)


def server_time_us(client: redis.Redis) -> int:
    """Return microseconds since 1970."""
    reply: Any = client.time()
    return microseconds(reply)


def server_time(client: redis.Redis) -> float:
    """Return seconds since 1970."""
    return server_time_us(client) / 1_000_000
