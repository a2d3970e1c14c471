"""Leases of queue entries that end when a test says so: none is waited for, and none ends early on a slow machine."""

from datetime import timedelta

import redis

LEASE = timedelta(minutes=10)
_IDLE = 2 * LEASE // timedelta(milliseconds=1)


def end_leases(client: "redis.Redis") -> None:
    """End every lease that runs now: what any consumer has taken looks as if it had not renewed it for long."""
    for stream in client.scan_iter(_type="stream"):
        for group in client.xinfo_groups(stream):
            for taken in client.xpending_range(stream, group["name"], "-", "+", 10_000):
                owner, entry = taken["consumer"], taken["message_id"]
                client.xclaim(stream, group["name"], owner, 0, [entry], idle=_IDLE, justid=True)
