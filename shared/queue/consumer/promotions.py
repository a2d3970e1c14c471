"""How the workers of a model prepare for a version that is to serve: they load it in turns, then it serves at once.

While some load, the others predict. The version gets no images before all have it: whoever had to load it for an image
would keep that image waiting, and those behind it.
"""

from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.queue import keys
from shared.queue.lua import Script, Scripts

TURN: Final = timedelta(seconds=10)
"""How long a turn lasts unless it is renewed."""
SEEN: Final = timedelta(seconds=7)
"""A worker without a sign of life for so long is not waited for; workers give one every 2 s."""
KEPT: Final = timedelta(hours=1)


class Promotions:
    """One worker's part in the promotions of one model; raises what Redis raises."""

    def __init__(self, client: redis.Redis, *, model: ModelName, worker: str) -> None:
        """`worker` is the name under which its sign of life is given."""
        self._client = client
        self._scripts = Scripts(client)
        self._model = model
        self._worker = worker

    def take_turn(self) -> bool:
        """Take the turn to load a version, or renew it; return False while enough others load."""
        names = (keys.loading_turns(self._model), keys.workers(self._model))
        lengths = (TURN // timedelta(microseconds=1), SEEN // timedelta(microseconds=1))
        return bool(self._scripts.run(Script.TAKE_LOADING_TURN, names, self._worker, *lengths))

    def end_turn(self) -> None:
        """Let the next worker load."""
        self._client.zrem(keys.loading_turns(self._model), self._worker)

    def note_prepared(self, version: VersionKey) -> int:
        """Note that this worker has loaded a version, or failed to; return how many workers have done neither."""
        names = (keys.prepared(self._model, version), keys.workers(self._model))
        lengths = (SEEN // timedelta(microseconds=1), KEPT // timedelta(milliseconds=1))
        return int(self._scripts.run(Script.NOTE_PREPARED, names, self._worker, *lengths))
