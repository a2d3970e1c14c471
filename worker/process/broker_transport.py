"""Celery's way to Redis, with refusals named as they are everywhere else: lost connections, which Celery makes anew.

As kombu has it, most of them are errors of a channel: they end a worker, and beat and Flower stay with a server that
has become a replica for ever. What is reached into is `Channel._connparams`, which chooses the class of connections.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport

from shared.queue.connection.refusals import naming


class RefusalChannel(Channel):
    """A channel whose connections raise RedisRefuses."""

    def _connparams(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(*arguments, **options)  # type: ignore[no-untyped-call]
        return parameters | {"connection_class": naming(parameters["connection_class"])}


class RefusalTransport(Transport):
    """Kombu's Redis with such channels."""

    Channel = RefusalChannel


def install() -> None:
    """Let URLs that begin with `redis` or `rediss` mean this transport, in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{RefusalTransport.__name__}"
