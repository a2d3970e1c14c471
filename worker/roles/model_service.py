"""One model in one worker process: followed in the registry, and served whenever this process has it loaded."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from shared.domain.identifiers import ModelName
from worker.process.background_threads import vital_thread
from worker.process.startup import Stopped, wait_for_redis
from worker.roles.model_parts import ModelParts

log = logging.getLogger(__name__)

CHECK_PAUSE: Final = timedelta(seconds=0.5)
"""How often a thread that waits checks whether the process was told to stop."""


class ModelService:
    """Follows a model in a thread of its own; `begin` and `end` are called as this process may take its work, or not.

    It may once what the model's aliases name is loaded, however long its registry or Redis is away until then: a worker
    that took work earlier would fail it because of a registry that is merely late. It may not while only other workers
    have the champion or the challenger loaded and this one can't load it, nor after `stop`.
    """

    def __init__(
        self,
        parts: ModelParts,
        *,
        begin: Callable[[ModelParts], object],
        end: Callable[[ModelParts], object],
        is_ending: Callable[[], bool],
    ) -> None:
        self.parts = parts
        self.model: ModelName = parts.lanes.model
        self._begin = begin
        self._end = end
        self._process_ends = is_ending
        self._stopped = threading.Event()
        self._begun = False
        self._thread = vital_thread(self._run, name=f"serve-{self.model}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Drop what is loaded, and let the thread take no more of the model's work: `has_ended` once that is so."""
        self._stopped.set()
        self.parts.follower.stop()

    @property
    def has_ended(self) -> bool:
        """Whether a stopped service has finished what it had in hand, and calls `begin` and `end` no more."""
        return not self._thread.is_alive()

    @property
    def is_first_read(self) -> bool:
        """Whether the registry was read, and what it then named failed to be loaded or is loaded and served."""
        follower = self.parts.follower
        return follower.is_first_read and (self._begun or not follower.is_followed)

    def _run(self) -> None:
        follower = self.parts.follower
        follower.start()
        while not self._is_ending():
            if not follower.wait_until_followed(longest=CHECK_PAUSE):
                continue
            # Registers the worker as one that serves the model, which `darkroom up` waits for.
            try:
                wait_for_redis(partial(self.parts.lanes.sign_of_life), stopping=self._is_ending)
            except Stopped:
                return
            self._begin(self.parts)
            self._begun = True
            log.info("model_served", extra={"model": self.model})
            follower.wait_until_lost()
            if not self._process_ends():
                self._end(self.parts)
                log.info("model_left", extra={"model": self.model})

    def _is_ending(self) -> bool:
        return self._stopped.is_set() or self._process_ends()
