"""How a model's workers judge a new champion together: by its results of its first minutes, of all of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName, VersionKey
from shared.queue import keys
from shared.queue.lua import Script, Scripts

LENGTH: Final = timedelta(minutes=10)
MOST: Final = 200
"""The last results that count."""
LEAST: Final = 20
"""Results without which nothing is decided."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A champion's trial. `before` is the champion before it, if any; `reason` says why it failed, empty: it did not.

    `left` is how long its results are still counted.
    """

    before: VersionKey | None
    reason: str
    left: timedelta


class ChampionTrials:
    """One worker's part in the trials of one model's champions; raises what Redis raises."""

    def __init__(self, client: redis.Redis, *, model: ModelName, worker: str) -> None:
        self._scripts = Scripts(client)
        self._key = keys.champion(model)
        self._worker = worker
        self._number = 0

    def judge(self, version: VersionKey, *, results: str, error: str, limit: int | None) -> Trial:
        """Note that a version serves as champion, and its results since the last call; return how its trial goes.

        `results` has an `s` for each success and an `f` for each error, of which `error` is the last; `limit` is how
        many of a hundred may fail, None for any number. Results are lost where Redis is away.
        """
        number = 0
        if results:
            self._number += 1
            number = self._number
        most, length = "" if limit is None else limit, LENGTH // timedelta(microseconds=1)
        before, reason, left = self._scripts.run(
            Script.JUDGE_CHAMPION,
            (self._key,),
            *(version, self._worker, number, results, error, most, length, MOST, LEAST),
        )
        previous = VersionKey(before.decode()) if before else None
        return Trial(previous, reason.decode(), timedelta(microseconds=int(left)))
