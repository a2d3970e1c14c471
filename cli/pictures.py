"""The store of kept pictures that a command is about: the one set in the environment, else the one workers use."""

from pathlib import Path

import redis

from cli.terminal.refused import Refused
from shared import settings
from shared.pictures.opening import is_folder, open_store, store_address
from shared.pictures.picture_store import PictureStore
from shared.queue.picture_store import read_store


def picture_settings(client: redis.Redis) -> settings.KeepImages | None:
    """Return the settings of the store; None where none is set and workers never kept any."""
    own = settings.read(settings.KeepImages)
    return own if own.url else read_store(client)


def find_store(client: redis.Redis) -> PictureStore | None:
    """Return the store, None where no picture was ever kept.

    Raises Refused for a folder that this machine has not: its pictures are on the workers' machine.
    """
    found = picture_settings(client)
    if found is None:
        return None
    address = store_address(found.url)
    if is_folder(address) and not Path(address).exists() and not settings.read(settings.KeepImages).url:
        raise Refused(
            f"Workers keep pictures in {address}, a folder that is not on this machine. Run this where it is, or set "
            "DARKROOM_KEEP_IMAGES_URL to where it is mounted."
        )
    return open_store(found)
