"""Images of a version that this worker can't load and others may have: they are handed back, and do not fail.

Images of a version that serves come to it between the moment at which it serves and its own next look at the registry.
Then it leaves the model's work to the others (`worker/models/following/served_elsewhere.py`) until it can load the
version. Images that ask for a version by its number may come at any time. Each worker that can't load it notes so, so
that an image goes to each of them once at most, and the last one fails it.
"""

import logging
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


class LeftToOthers:
    """What one model's predictor leaves to other workers. Threads may share it."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        leaves_to_others: Callable[[VersionKey], bool],
        monotonic: Callable[[], float],
    ) -> None:
        """`leaves_to_others` says of a version that can't be loaded here whether others may have it."""
        self._model: ModelName = lanes.model
        self._lanes = lanes
        self._leaves_to_others = leaves_to_others
        self._monotonic = monotonic
        self._paused_until = 0.0

    def is_pausing(self) -> bool:
        """Tell whether images were handed back just now."""
        return self._monotonic() < self._paused_until

    def hand_back(self, results: Sequence[Result]) -> Sequence[Result]:
        """Hand back those whose version others may have; return the other results.

        Killed at any line: what was pulled stays pending under this consumer until its lease ends. Raises what Redis
        raises.
        """
        unavailable = [result.entry for result in results if result.code == ErrorCode.MODEL_UNAVAILABLE]
        if not unavailable:
            return results
        left = {
            key for key in {key for entry in unavailable for key in self._keys(entry)} if self._leaves_to_others(key)
        }
        handed = [entry for entry in unavailable if left.intersection(self._keys(entry))]
        if not handed:
            return results
        self._paused_until = self._monotonic() + PAUSE.total_seconds()
        self._lanes.hand_back(handed)
        log.warning("images_left_to_others", extra={"images": len(handed), "version": ", ".join(sorted(left))})
        ids = {(entry.lane, entry.id) for entry in handed}
        return [result for result in results if (result.entry.lane, result.entry.id) not in ids]

    def _keys(self, entry: Entry) -> Iterable[VersionKey]:
        """Return the versions of this model that an entry needs: its own, or those of a pipeline's steps."""
        if not entry.plan:
            return [entry.version]
        return [member.key for member in read_plan(entry.plan).members() if member.model == self._model]
