"""The API keys that are good, in memory: no request waits for Postgres to say whose it is."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.state.open_requests import OpenRequests
from api.state.refresher import Refresher
from api.state.threads import in_thread
from shared.domain.api_keys import Caller, digest
from shared.domain.errors import StorageUnavailable, Unauthorized
from shared.storage import api_keys


class ApiKeys:
    """Who each good key stands for, read every `pause`; as it was while Postgres is away."""

    def __init__(
        self,
        engine: Engine,
        *,
        pause: timedelta,
        open_requests: OpenRequests,
        longest: timedelta = timedelta(seconds=5),
    ) -> None:
        """Open requests end when their key is revoked; a read of Postgres fails after `longest`."""
        self._engine = engine
        self._open_requests = open_requests
        self._longest = longest.total_seconds()
        self._thread = ThreadPoolExecutor(1, "keys")
        self._callers: dict[str, Caller] = {}
        self._edition: tuple[object, ...] | None = None
        self._refresher = Refresher(self._refresh, pause=pause, stale="api_keys_stale")

    def known(self, key: str) -> Caller | None:
        """Return whom a key stood for at the last look."""
        return self._callers.get(digest(key))

    async def find(self, key: str) -> Caller | None:
        """Return whom a key stands for, after one more look where it was not known; None: it is none of ours.

        Raises StorageUnavailable where it is not known and Postgres can't be asked: it may have been made just now.
        """
        caller = self.known(key)
        if caller is None:
            await self._refresher.once_more()
            caller = self.known(key)
        return caller

    async def close(self) -> None:
        """Stop looking."""
        await self._refresher.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _refresh(self) -> None:
        before = self._edition
        try:
            async with asyncio.timeout(self._longest):
                self._edition, self._callers = await in_thread(self._thread, self._read)
        except (SQLAlchemyError, TimeoutError) as error:
            raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2)) from error
        if self._edition != before:
            self._open_requests.cut(where=lambda visit: bool(visit.key) and self.known(visit.key) is None, why=_revoked)

    def _read(self) -> tuple[tuple[object, ...], dict[str, Caller]]:
        """Read what is good, in a thread; all of it only where anything has changed."""
        with self._engine.connect() as connection:
            # The edition first: a change between the two is read again the next time.
            edition = api_keys.keys_version(connection)
            if edition == self._edition:
                return edition, self._callers
            return edition, api_keys.callers_by_digest(connection)


def _revoked() -> Unauthorized:
    return Unauthorized(detail="this API key was revoked while the request was open")
