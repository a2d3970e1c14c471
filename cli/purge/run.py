"""Cancel and delete everything of one owner.

Safe to repeat and to kill anywhere: keys are revoked first, so nothing new is submitted; unfinished predictions are
canceled and recorded before their rows are deleted; every step only deletes what is still there. Meanwhile a mark in
Redis makes gateways refuse this owner and end its open requests; the mark expires by itself after a kill.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from redis import Redis, RedisError
from rich.console import Console
from rich.status import Status
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.pictures import find_store
from cli.terminal.lines import first_line, say
from cli.terminal.refused import Refused
from shared.domain.api_keys import as_owner
from shared.domain.identifiers import Owner
from shared.pictures.names import owner_prefix
from shared.pictures.picture_store import PictureStore, StoreError
from shared.queue import purge_marks
from shared.queue.connection.clients import connect
from shared.queue.purge_marks import MARKED
from shared.queue.upkeep.owned import Owned
from shared.settings import Database
from shared.settings import Redis as RedisSettings
from shared.storage import api_keys, retention
from shared.storage.engine import make_engine

CHUNK: Final = 2000
FORGETTING: Final = timedelta(seconds=5)
"""After this every gateway knows that the keys are revoked and the owner is being purged."""
RENEWED: Final = MARKED / 4
RECORDING: Final = timedelta(seconds=60)
POLL_PAUSE: Final = timedelta(milliseconds=200)


def purge(home: Path, name: str) -> int:
    """Delete everything of an owner and print the counts; return the exit code, 1 where something is left."""
    owner = as_owner(name)
    redis_url, database_url = store_url(home, "DARKROOM_REDIS_URL"), store_url(home, "DARKROOM_DATABASE_URL")
    engine = make_engine(Database(url=database_url))
    try:
        with connect(RedisSettings(url=redis_url)) as client, engine.connect() as connection:
            try:
                with Console().status("") as status:
                    return Purge(client, connection, owner, status, pictures=find_store(client)).run()
            finally:
                purge_marks.unmark(client, owner)
    except (RedisError, SQLAlchemyError, StoreError, OSError) as error:
        raise Refused(f"Not everything is deleted; run it again: {first_line(error)}") from None
    finally:
        engine.dispose()


class Purge:
    """One purge of one owner."""

    def __init__(
        self,
        client: Redis,
        connection: Connection,
        owner: Owner,
        status: Status,
        *,
        pictures: PictureStore | None,
    ) -> None:
        """`pictures` are kept where it says; None where none ever were."""
        self._client = client
        self._owned = Owned(client, owner)
        self._connection = connection
        self._owner = owner
        self._status = status
        self._pictures = pictures

    def run(self) -> int:
        """Run all steps in order; return the exit code."""
        api_keys.revoke_keys_of(self._connection, self._owner)
        self._mark()
        self._status.update("waiting until no gateway takes anything of this owner's")
        time.sleep(FORGETTING.total_seconds())
        self._count("unfinished, canceled", self._owned.cancel_all())
        if not self._wait_until_recorded():
            say("What was canceled is not recorded yet: the record worker is down or behind. Run purge again later.")
            return 1
        self._count("in Redis: files, jobs, cached outputs, keys", self._owned.delete_all())
        for what in retention.OWNED:
            self._count(what, self._rows(what))
        if self._pictures is not None:
            self._count("kept pictures", self._kept(self._pictures))
        left = sum(self._owned.cancel_all())
        if left:
            say(f"{left:,} were submitted meanwhile and are canceled. Run purge again once nothing more is submitted.")
        return 1 if left else 0

    def _count(self, what: str, chunks: Iterator[int]) -> None:
        """Run a step chunk by chunk, showing the count so far, and print its total."""
        total = 0
        for rows in chunks:
            total += rows
            self._renew()
            self._status.update(f"{what}: {total:,}")
        say(f"{total:>12,}  {what}")

    def _renew(self) -> None:
        """Renew the mark when it is due."""
        if time.monotonic() - self._marked > RENEWED.total_seconds():
            self._mark()

    def _mark(self) -> None:
        purge_marks.mark(self._client, self._owner)
        self._marked = time.monotonic()

    def _rows(self, what: str) -> Iterator[int]:
        while rows := retention.delete_of_owner(self._connection, self._owner, what, limit=CHUNK):
            yield rows

    def _kept(self, store: PictureStore) -> Iterator[int]:
        """Delete the owner's kept pictures; those that are being written now are deleted by their writers."""
        pictures = store.pictures(owner_prefix(self._owner))
        while some := list(islice(pictures, CHUNK)):
            store.delete(one.name for one in some)
            yield len(some)

    def _wait_until_recorded(self) -> bool:
        give_up = time.monotonic() + RECORDING.total_seconds()
        while unrecorded := self._owned.unrecorded():
            if time.monotonic() > give_up:
                return False
            self._renew()
            self._status.update(f"waiting for the rows of {unrecorded:,}")
            time.sleep(POLL_PAUSE.total_seconds())
        return True
