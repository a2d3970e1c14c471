"""Redis clients, made from settings. Replies stay bytes, because images are among them.

All of them treat a refusal (`refusals`) like a lost connection: they connect again, which resolves the host's name
again, and repeat the command.
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
    """Return a blocking client that repeats a command after a lost connection: every command of ours may run twice."""
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
    """Return a blocking client that gives up after 2 s without repeating, for callers who must not hang with Redis."""
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
    """Return the client; its connections now raise refusals as RedisRefuses."""
    pool = client.connection_pool
    pool.connection_class = naming(pool.connection_class)
    return client


def connect_async(settings: Redis) -> redis.asyncio.Redis:
    """Return an asyncio client that gives up at the first error; its callers decide whether to repeat."""
    return _made(redis.asyncio.Redis.from_url, settings, socket_timeout=settings.timeout.total_seconds(), protocol=2)


def broker_url(settings: Redis) -> str:
    """Return the server's URL as Celery writes it, with another scheme for Unix sockets."""
    if settings.url.startswith("unix://"):
        return "redis+socket://" + settings.url.removeprefix("unix://").replace("?db=", "?virtual_host=")
    return settings.url
