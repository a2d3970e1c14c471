"""Kombu's Redis transport, changed in four ways: refusals, what is in hand, acknowledging too late, and closing.

Celery has to reconnect when Redis refuses commands (RedisRefuses).

A Redis refuses when it loads its data, has become a replica or wants another password. Kombu takes most refusals for
errors of a channel: they end a worker, and beat and Flower keep their connection to a replica for ever. Here they are
lost connections. Private member used: `Channel._connparams`, which chooses the class of connections.

Kombu bounds the tasks that a worker has in hand by those it has not acknowledged. Bells are consumed without
acknowledging, which saves two round trips each, so here the tasks that Celery has reserved count.

Celery acknowledges all the same, in its loop's next turn, and kombu drops that for such consumers, as long as the
channel is open. Where the connection was lost in between, it would end the worker, for a task that needs none.

Kombu closes a channel once Redis has answered that no bell came, up to a second later, for which a worker that stops
would wait. Here the connection is cut.
"""

import threading
from typing import Any, Final

import redis
from celery.worker import state
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, QoS, Transport

from shared.queue.connection.refusals import naming

waits_for_a_thread: Final = threading.Event()
"""Set when no task was taken because there are as many in hand as may be; who ends one wakes Celery's main loop."""


class ReservedTasksQoS(QoS):
    """A channel's prefetch limit, held by the tasks that Celery has reserved and not ended."""

    def can_consume(self) -> bool:
        """Tell whether one more task may be taken."""
        if self._has_room():
            return True
        waits_for_a_thread.set()
        return self._has_room()  # a thread that ended a task before the event was set has woken nobody

    def _has_room(self) -> bool:
        most = self.prefetch_count
        below = bool(super().can_consume())  # type: ignore[no-untyped-call]
        return below and (not most or len(state.reserved_requests) < most)


class BellChannel(Channel):
    """A channel whose connections raise RedisRefuses, with that limit; closed, it acknowledges nothing."""

    QoS = ReservedTasksQoS

    def close(self) -> None:
        """Close the channel, without waiting for a bell.

        What Redis sends at this very moment is lost, as bells may be. What has come by now is taken as usual.
        """
        awaited: Any = self._in_poll
        if awaited and not _has_come(awaited):
            awaited.disconnect()
        super().close()  # type: ignore[no-untyped-call]

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: FBT001, FBT002  kombu's
        """Acknowledge a task."""
        if not self.closed:
            super().basic_ack(delivery_tag, multiple)  # type: ignore[no-untyped-call]

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  kombu's
        """Reject a task."""
        if not self.closed:
            super().basic_reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    def _connparams(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(*arguments, **options)  # type: ignore[no-untyped-call]
        return parameters | {"connection_class": naming(parameters["connection_class"])}


def _has_come(connection: Any) -> bool:
    """Tell whether an answer can be read now."""
    try:
        return bool(connection.can_read(timeout=0))
    except (redis.RedisError, OSError):
        return False


class BellTransport(Transport):
    """Kombu's Redis transport with these channels."""

    Channel = BellChannel


def install() -> None:
    """Use this transport, in this process, for broker URLs that begin with `redis` or `rediss`."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{BellTransport.__name__}"
