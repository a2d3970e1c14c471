"""Settings of Redis and Postgres."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, PositiveInt, Share


class Redis(BaseSettings):
    """Redis, which holds unfinished work, the cache and uploaded files. Celery's broker is the same server."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REDIS_", frozen=True)

    url: Annotated[str, Field(pattern="^(rediss?|unix)://")] = "redis://127.0.0.1:6379/0"
    """Address of the server: `redis://user:password@host:6379/0`, `rediss://…` with TLS, or `unix:///path/redis.sock`,
    which costs least on one machine."""
    timeout: Duration = timedelta(seconds=5)
    """A command without an answer for this long counts as failed. Raise it only where the network is that slow: a
    request waits as long before it is answered with 503."""
    memory_share: Share = 0.8
    """Share of Redis' `maxmemory` above which submissions are refused with 503. The rest is room for what running work
    still writes."""
    cache_share: Share = 0.5
    """Share of Redis' `maxmemory` above which cached outputs and recorded predictions are dropped, the oldest first.
    All of them can be computed or read from Postgres again, so it lies well below `memory_share`."""


class Database(BaseSettings):
    """Postgres, which holds finished work: predictions, batches, webhook deliveries, API keys."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_DATABASE_", frozen=True)

    url: str = "postgresql://127.0.0.1:5432/darkroom"
    """Address of the database: any connection string of libpq, with several hosts, `target_session_attrs` or
    `options`. `docs/guides/operate/postgres.md` has examples."""
    pool_size: PositiveInt = 4
    """Connections of one process. A gateway uses these for single answers and has half as many more for batches'
    results, and two for its own work. Raise it where requests wait for a connection; Postgres' `max_connections` must
    cover all processes."""
    timeout: Duration = timedelta(seconds=5)
    """Limit for connecting, and for one statement of a gateway."""
    patience: Duration = timedelta(seconds=60)
    """How long a server may be silent in one round trip of a worker or command before the connection is closed. A
    gateway, where somebody waits, closes it after `timeout` plus one second."""
