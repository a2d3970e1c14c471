"""A secret all gateways share, made by the first of them."""

import secrets

import redis

from shared.queue.connection.pipeline import Pipeline

KEY = "secret:stream"
SECRET_BYTES = 32


async def shared_secret(redis: Pipeline) -> bytes:
    """Return the secret that signs stream tokens. Safe to repeat: only the first write counts."""
    await redis.call("SET", KEY, secrets.token_bytes(SECRET_BYTES), "NX")
    secret: bytes = await redis.call("GET", KEY)
    return secret


def secret_of_worker(client: redis.Redis) -> bytes:
    """Do the same from a worker."""
    client.set(KEY, secrets.token_bytes(SECRET_BYTES), nx=True)
    secret: bytes = client.get(KEY)  # type: ignore[assignment]  # the stub knows async clients only
    return secret
