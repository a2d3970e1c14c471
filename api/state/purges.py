"""Owners whose data is being deleted (`darkroom purge`): their requests are refused, open ones are canceled."""

from datetime import timedelta

from api.state.open_requests import OpenRequests
from api.state.refresher import Refresher
from shared.domain.errors import BeingPurged
from shared.domain.identifiers import Owner
from shared.queue.producer.server import MARKED, Server


class Purges:
    """The owners being purged, read from Redis every `pause`; the last state holds while Redis is away.

    A purged owner with keys has lost them and needs a new one; the owner of requests without keys may go on afterwards.
    """

    def __init__(self, server: Server, *, pause: timedelta, open_requests: OpenRequests) -> None:
        self._server = server
        self._open_requests = open_requests
        self._owners: frozenset[Owner] = frozenset()
        self._refresher = Refresher(self._refresh, pause=pause, stale="purges_stale")

    def check(self, owner: Owner) -> None:
        """Raise BeingPurged where this owner is being purged."""
        if owner in self._owners:
            raise _being_purged()

    async def first_read(self) -> None:
        """Return once Redis was asked for the first time."""
        await self._refresher.first_read()

    async def close(self) -> None:
        """Stop reading."""
        await self._refresher.close()

    async def _refresh(self) -> None:
        self._owners = owners = await self._server.being_purged()
        if owners:
            self._open_requests.cut(where=lambda request: request.owner in owners, why=_being_purged)


def _being_purged() -> BeingPurged:
    return BeingPurged(retry_after=MARKED)
