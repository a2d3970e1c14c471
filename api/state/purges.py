"""Whose everything is being deleted now: nothing of theirs is taken, and what is open ends."""

from datetime import timedelta

from api.state.open_requests import OpenRequests
from api.state.refresher import Refresher
from shared.domain.errors import BeingPurged
from shared.domain.identifiers import Owner
from shared.queue.producer.server import MARKED, Server


class Purges:
    """The owners that `darkroom purge` works on, read every `pause`; as it was while Redis is away.

    An owner with keys has lost them by then and needs a new one. Who needs none is welcome again afterwards: there is
    no key that could be made for them.
    """

    def __init__(self, server: Server, *, pause: timedelta, open_requests: OpenRequests) -> None:
        self._server = server
        self._open_requests = open_requests
        self._owners: frozenset[Owner] = frozenset()
        self._refresher = Refresher(self._refresh, pause=pause, stale="purges_stale")

    def check(self, owner: Owner) -> None:
        """Raise BeingPurged where nothing of this owner's is taken now."""
        if owner in self._owners:
            raise _being_purged()

    async def close(self) -> None:
        """Stop looking."""
        await self._refresher.close()

    async def _refresh(self) -> None:
        self._owners = owners = await self._server.being_purged()
        if owners:
            self._open_requests.cut(where=lambda visit: visit.owner in owners, why=_being_purged)


def _being_purged() -> BeingPurged:
    return BeingPurged(retry_after=MARKED)
