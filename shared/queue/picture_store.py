"""The settings of the store of kept pictures in Redis: commands find it there where the environment names none."""

import socket
from typing import Any

import orjson
import redis

from shared.queue import keys
from shared.settings import KeepImages

_TOLD = ("bytes", "endpoint")


def note_store(client: redis.Redis, settings: KeepImages, *, address: str) -> None:
    """Leave the settings that a predict worker uses; the last one's count."""
    told = {"url": address, "host": socket.gethostname()} | {name: getattr(settings, name) for name in _TOLD}
    client.set(keys.PICTURE_STORE, orjson.dumps(told))


def read_store(client: redis.Redis) -> KeepImages | None:
    """Return the settings with which pictures are, or were, kept; None where none ever were."""
    data: Any = client.get(keys.PICTURE_STORE)
    if not data:
        return None
    told = orjson.loads(data)
    return KeepImages(url=told["url"], **{name: told[name] for name in _TOLD})
