"""The secret that signs stream tokens: all gateways and workers share it, whoever starts first makes it."""

import secrets

import redis

from shared.queue.connection.pipeline import Pipeline

KEY = "secret:stream"
SECRET_BYTES = 32


async def shared_secret(redis: Pipeline) -> bytes:
    """Return the secret, through a gateway's pipeline. Safe to repeat: only the first write counts."""
    await redis.call("SET", KEY, secrets.token_bytes(SECRET_BYTES), "NX")
    secret: bytes = await redis.call("GET", KEY)
    return secret


def secret_of_worker(client: redis.Redis) -> bytes:
    """Return the secret, through a worker's blocking client."""
    client.set(KEY, secrets.token_bytes(SECRET_BYTES), nx=True)
    secret: bytes = client.get(KEY)  # type: ignore[assignment]  # the stub knows async clients only
    return secret
