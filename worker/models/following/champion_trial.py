"""A new champion is on trial for ten minutes: where too many images make it raise, the one before serves again.

What counts are results of the model, not images that nobody could decode nor deadlines. The workers judge together, in
Redis, so that all serve the same version, whichever restarts. The registry's alias is left as it is; the trial of a
version begins anew once it has become champion after another one, and a version registered again is another one.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import CHAMPION
from shared.domain.prediction import ErrorCode, Status
from shared.queue.consumer.champion_trials import MOST, ChampionTrials, Trial
from shared.queue.consumer.entries import Result
from worker.models.registry.registry_snapshot import RegistrySnapshot
from worker.models.registry.serving_tags import read_max_error_percent

log = logging.getLogger(__name__)

JUDGE_PAUSE: Final = 0.5
"""Seconds between two times that failing images make this worker judge; otherwise it does with each poll."""
LONGEST_ERROR: Final = 300


class TrialResults:
    """Results of the champion that is on trial, since they were last judged. Predicting threads add to them."""

    def __init__(self, *, on_failure: Callable[[], object]) -> None:
        """`on_failure` is called when there were failures, but not with each of them."""
        self._version: VersionKey | None = None
        self._on_failure = on_failure
        self._next_call = 0.0
        self._lock = threading.Lock()
        self._results = ""
        self._error = ""

    @property
    def version(self) -> VersionKey | None:
        """The version on trial; while there is none, results cost a comparison a micro-batch."""
        return self._version

    def put_on_trial(self, version: VersionKey | None) -> None:
        """Take results of this version from now on; what another one's results were is no evidence against it."""
        with self._lock:
            if version != self._version:
                self._version = version
                self._results = self._error = ""

    def add(self, results: Sequence[Result]) -> None:
        """Take those results that say something about the version on trial."""
        version = self._version
        if version is None:
            return
        ended = [one for one in results if one.entry.version == version]
        failed = [one for one in ended if one.code == ErrorCode.MODEL_ERROR]
        marks = "s" * sum(one.state == Status.SUCCEEDED for one in ended) + "f" * len(failed)
        with self._lock:
            if version != self._version:  # another one was put on trial meanwhile
                return
            self._results = (self._results + marks)[-MOST:]
            if not failed:
                return
            self._error = failed[-1].error[:LONGEST_ERROR]
            now = time.monotonic()
            if now < self._next_call:
                return
            self._next_call = now + JUDGE_PAUSE
        self._on_failure()

    def take(self) -> tuple[str, str]:
        """Return the results, an `s` or `f` each, and the last error; and begin anew."""
        with self._lock:
            taken = self._results, self._error
            self._results = self._error = ""
        return taken


class ChampionTrial:
    """The trials of one model's champions, as one worker takes part in them; called from its follower's thread."""

    def __init__(self, model: ModelName, *, worker: str, client: redis.Redis, on_failure: Callable[[], object]) -> None:
        self.results = TrialResults(on_failure=on_failure)
        self._trials = ChampionTrials(client, model=model, worker=worker)
        self._champion: VersionKey | None = None
        self._trial: Trial | None = None
        self._ignored = ""

    def apply(
        self,
        registered: RegistrySnapshot,
        serving: Mapping[str, VersionKey],
        *,
        loads: Callable[[VersionKey], bool],
    ) -> tuple[dict[str, VersionKey], dict[VersionNumber, str]]:
        """Return what is to serve, and which champion failed and why.

        `serving` is what serves unless the champion failed, `loads` tells whether a version is loaded or can be. Safe
        to repeat: the verdict is in Redis, and the same for all workers. Raises what Redis raises.
        """
        champion = registered.named().get(CHAMPION)
        if champion is None or not (serving.get(CHAMPION) == champion.key or self._has_failed(champion.key)):
            return dict(serving), {}
        trial = self._judge(champion.key, limit=self._limit({**registered.tags, **champion.tags}))
        if not trial.reason or trial.before is None or not loads(trial.before):
            return dict(serving), {}
        return {**serving, CHAMPION: trial.before}, {champion.number: trial.reason}

    def _has_failed(self, champion: VersionKey) -> bool:
        return champion == self._champion and self._trial is not None and bool(self._trial.reason)

    def _judge(self, champion: VersionKey, *, limit: int | None) -> Trial:
        """Return the champion's trial; Redis is asked while it lasts."""
        if champion == self._champion and self._trial is not None and not self.results.version:
            return self._trial
        results, error = self.results.take() if self.results.version == champion else ("", "")
        trial = self._trials.judge(champion, results=results, error=error, limit=limit)
        if trial.reason and not self._has_failed(champion):
            log.warning("champion_went_back", extra={"version": champion, "to": trial.before, "reason": trial.reason})
        self._champion, self._trial = champion, trial
        self.results.put_on_trial(None if trial.reason or trial.left <= timedelta(0) else champion)
        return trial

    def _limit(self, tags: Mapping[str, str]) -> int | None:
        percent, wrong = read_max_error_percent(tags)
        if wrong and wrong != self._ignored:
            log.warning("max_error_percent_ignored", extra={"reason": wrong})
        self._ignored = wrong
        return percent
