"""The valid API keys, in memory, so that no request waits for Postgres to authenticate its caller."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.state.open_requests import OpenRequest, OpenRequests
from api.state.refresher import Refresher
from api.state.threads import in_thread
from shared.domain.api_keys import Caller, key_digest
from shared.domain.errors import StorageUnavailable, Unauthorized
from shared.storage import api_keys
from shared.storage.refusals import describe


class ApiKeys:
    """The callers of all valid keys, read from Postgres every `pause`; the last state holds while Postgres is away."""

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
        """Return the caller of a key as of the last read."""
        return self._callers.get(key_digest(key))

    async def find(self, key: str) -> Caller | None:
        """Return the caller of a key, after one more read where it is not known; None for an invalid key.

        Raises StorageUnavailable where it is not known and Postgres can't be read: it may be a new one.
        """
        caller = self.known(key)
        if caller is None:
            await self._refresher.once_more()
            caller = self.known(key)
        return caller

    async def close(self) -> None:
        """Stop reading."""
        await self._refresher.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _refresh(self) -> None:
        before = self._edition
        try:
            async with asyncio.timeout(self._longest):
                self._edition, self._callers = await in_thread(self._thread, self._read)
        except (SQLAlchemyError, TimeoutError) as error:
            reason = describe(error)
            raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2), reason=reason) from error
        if self._edition != before:
            self._open_requests.cut(where=self._is_revoked, why=_revoked)

    def _is_revoked(self, request: OpenRequest) -> bool:
        return bool(request.key) and self.known(request.key) is None

    def _read(self) -> tuple[tuple[object, ...], dict[str, Caller]]:
        """Read the valid keys, in a thread; only where any has changed since the last read."""
        with self._engine.connect() as connection:
            # The edition is read first: a change between the two statements is then read again.
            edition = api_keys.keys_version(connection)
            if edition == self._edition:
                return edition, self._callers
            return edition, api_keys.callers_by_digest(connection)


def _revoked() -> Unauthorized:
    return Unauthorized(detail="this API key was revoked while the request was open")
