"""Redis clients, made from settings. Replies stay bytes: images travel here.

What Redis refuses with (`refusals`) is a lost connection to all of them: they make a new one, for which the name is
resolved again, and send the command again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.queue.connection.refusals import naming
from shared.settings import Redis, SettingsError

Client = TypeVar("Client")

BRIEFLY: Final = timedelta(seconds=2)


def connect(settings: Redis) -> redis.Redis:
    """Return a blocking client that sends a command again after a lost connection: all of ours may run twice."""
    return _named(
        _made(
            redis.Redis.from_url,
            settings,
            socket_timeout=settings.timeout.total_seconds(),
            retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 5),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
            protocol=2,
        )
    )


def connect_briefly(settings: Redis) -> redis.Redis:
    """Return a blocking client for who would rather know soon that Redis hangs than wait: 2 s, and no second try."""
    return _named(
        _made(
            redis.Redis.from_url,
            settings,
            socket_timeout=BRIEFLY.total_seconds(),
            socket_connect_timeout=BRIEFLY.total_seconds(),
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    )


def _made(from_url: Callable[..., Client], settings: Redis, **options: Any) -> Client:
    """Return a client; raises SettingsError, without the URL's password, where the URL can't be read."""
    try:
        return from_url(settings.url, **options)
    except ValueError:
        raise SettingsError("DARKROOM_REDIS_URL can't be read: redis://user:password@host:6379/0 is one") from None


def _named(client: redis.Redis) -> redis.Redis:
    """Let a client's connections raise refusals as what they are."""
    pool = client.connection_pool
    pool.connection_class = naming(pool.connection_class)
    return client


def connect_async(settings: Redis) -> redis.asyncio.Redis:
    """Return an asyncio client; it gives up at the first error, its callers say what that means."""
    return _made(redis.asyncio.Redis.from_url, settings, socket_timeout=settings.timeout.total_seconds(), protocol=2)


def broker_url(settings: Redis) -> str:
    """Return the same server as Celery writes it: Unix sockets have a scheme of their own there."""
    if settings.url.startswith("unix://"):
        return "redis+socket://" + settings.url.removeprefix("unix://").replace("?db=", "?virtual_host=")
    return settings.url
