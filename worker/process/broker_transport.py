"""Kombu's Redis transport, changed so that Celery reconnects when Redis refuses commands (RedisRefuses).

A Redis refuses when it loads its data, has become a replica or wants another password. Kombu takes most refusals for
errors of a channel: they end a worker, and beat and Flower keep their connection to a replica for ever. Here they are
lost connections. Private member used: `Channel._connparams`, which chooses the class of connections.
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
    """Kombu's Redis transport with these channels."""

    Channel = RefusalChannel


def install() -> None:
    """Use this transport, in this process, for broker URLs that begin with `redis` or `rediss`."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{RefusalTransport.__name__}"
