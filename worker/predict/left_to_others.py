"""Images of a version that this worker can't load and other workers serve: they are handed back, and do not fail.

Such images come to it between the moment at which a version serves and its own next look at the registry. Then it
leaves the model's work to the others (`worker/models/following/served_elsewhere.py`) until it can load the version.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final

from shared.domain.identifiers import ModelName, VersionKey
from shared.domain.pipeline_plan import read_plan
from shared.domain.prediction import ErrorCode
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.lanes import Lanes

log = logging.getLogger(__name__)

PAUSE: Final = timedelta(seconds=1)
"""How long nothing is pulled or taken over after images were handed back: it would be more of them.

By then this worker has usually left the model.
"""
LONGEST: Final = timedelta(minutes=1)
"""For how long a version's images are handed back, from the first: longer, they might go to and fro for ever.

That is where this worker can't leave, because the registry can't be read, and those who served the version are gone.
"""


class LeftToOthers:
    """What one model's predictor leaves to other workers. Threads may share it."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        is_served_elsewhere: Callable[[VersionKey], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_served_elsewhere` says of a version that can't be loaded here whether others serve it."""
        self._model: ModelName = lanes.model
        self._lanes = lanes
        self._is_served_elsewhere = is_served_elsewhere
        self._monotonic = monotonic
        self._since: dict[VersionKey, float] = {}
        self._paused_until = 0.0

    def is_pausing(self) -> bool:
        """Tell whether images were handed back just now."""
        return self._monotonic() < self._paused_until

    def hand_back(self, results: Sequence[Result]) -> Sequence[Result]:
        """Hand back those whose version is served elsewhere; return the other results.

        Killed at any line: what was pulled stays pending under this consumer until its lease ends. Raises what Redis
        raises.
        """
        unavailable = [result.entry for result in results if result.code == ErrorCode.MODEL_UNAVAILABLE]
        if not unavailable:
            return results
        left = {key for key in {key for entry in unavailable for key in self._keys(entry)} if self._is_left(key)}
        handed = [entry for entry in unavailable if left.intersection(self._keys(entry))]
        if not handed:
            return results
        self._paused_until = self._monotonic() + PAUSE.total_seconds()
        self._lanes.hand_back(handed)
        log.warning("images_left_to_others", extra={"images": len(handed), "version": ", ".join(sorted(left))})
        ids = {(entry.lane, entry.id) for entry in handed}
        return [result for result in results if (result.entry.lane, result.entry.id) not in ids]

    def _is_left(self, key: VersionKey) -> bool:
        if not self._is_served_elsewhere(key):
            self._since.pop(key, None)
            return False
        now = self._monotonic()
        return now - self._since.setdefault(key, now) < LONGEST.total_seconds()

    def _keys(self, entry: Entry) -> Iterable[VersionKey]:
        """Return the versions of this model that an entry needs: its own, or those of a pipeline's steps."""
        if not entry.plan:
            return [entry.version]
        return [member.key for member in read_plan(entry.plan).members() if member.model == self._model]
