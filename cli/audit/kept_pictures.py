"""Checks kept pictures: within their bound in bytes, and none of an owner that has no predictions any more."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import redis
from sqlalchemy import Connection

from cli.pictures import find_store, picture_settings
from cli.terminal.refused import Refused
from shared.domain.identifiers import Owner
from shared.pictures.picture_store import PictureStore, StoreError
from shared.queue.upkeep.owned import Owned
from shared.storage import predictions

SWEPT: Final = timedelta(minutes=15)
"""Upkeep sweeps once a minute and waits ten until a picture's predictions are recorded: after this it has."""


def wrong_pictures(client: redis.Redis, connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the kept pictures, a sentence each; nothing where none are kept.

    A folder that this machine has not is left to where it is.
    """
    settings = picture_settings(client)
    try:
        store = find_store(client)
    except Refused:
        return
    if settings is None or store is None:
        return
    try:
        yield from _wrong(store, client, connection, most_bytes=settings.bytes)
    except StoreError as error:
        yield f"kept pictures: their store can't be read: {error}"


def _wrong(store: PictureStore, client: redis.Redis, connection: Connection, *, most_bytes: int) -> Iterator[str]:
    before = time.time() - SWEPT.total_seconds()
    sizes: Counter[str] = Counter()
    for one in store.pictures():
        if one.written < before:
            sizes[one.name.partition("/")[0]] += one.size
    if sizes.total() > most_bytes:
        yield f"kept pictures: they have {sizes.total():,} bytes, {most_bytes:,} are the bound"
    for owner in sorted(sizes):
        if not predictions.has_any(connection, Owner(owner)) and not Owned(client, Owner(owner)).has_unrecorded():
            yield f"kept pictures: {owner} has some and no prediction; they should be deleted"
