"""While a process loads a version, it leaves images to other workers, which answer them sooner.

A thread that loads holds Python's lock most of the time, and a forward pass wants it back after each operator: an image
of mobilenet_v3_small took 60 to 120 ms in such a process, 12 in another. So no bells are heard meanwhile, until an
image has waited for long nevertheless.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import redis

from shared.domain.identifiers import ModelName
from shared.queue.inspection.gauges import Gauges
from worker.process.background_threads import PeriodicThread
from worker.roles.model_parts import ModelParts

PAUSE: Final = timedelta(milliseconds=100)
"""How often it is checked whether something waits for long."""
LONG: Final = timedelta(milliseconds=100)
"""Once an image has waited for so long, nothing more is left to others."""


class StandingAside:
    """The models whose images one process leaves to others just now: all that others serve. Threads may share it."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        worker: str,
        served: Mapping[ModelName, ModelParts],
        consume: Callable[[ModelName], object],
        consume_no_more: Callable[[ModelName], object],
    ) -> None:
        """`worker` is the name under which this process gives signs of life; `served` changes as it serves models."""
        self._gauges = Gauges(client)
        self._worker = worker
        self._served = served
        self._consume, self._consume_no_more = consume, consume_no_more
        self._lock = threading.Lock()
        self._loads = 0
        self._looking: PeriodicThread | None = None
        self.models: frozenset[ModelName] = frozenset()

    @contextmanager
    def while_loading(self) -> Iterator[None]:
        """Stand aside for the block; blocks may overlap.

        A process that is killed meanwhile has nothing to undo: the next one consumes what it serves.
        """
        with self._lock:
            self._loads += 1
            if self._loads == 1:
                self._step_aside()
        try:
            yield
        finally:
            with self._lock:
                self._loads -= 1
                if not self._loads:
                    self._come_back()

    def _step_aside(self) -> None:
        self.models = frozenset(model for model in list(self._served) if self._has_others(model))
        for model in self.models:
            self._consume_no_more(model)
        if self.models:
            self._looking = PeriodicThread(self._look, pause=PAUSE, name="aside")
            self._looking.start()

    def _come_back(self) -> None:
        if self._looking is not None:
            self._looking.stop()
            self._looking = None
        self._hear_again()

    def _hear_again(self) -> None:
        back, self.models = self.models, frozenset()
        for model in back:
            self._consume(model)
            # In this order: whoever ends the model's service now may have come before the line above.
            if model not in self._served:
                self._consume_no_more(model)

    def _look(self) -> None:
        """Come back early where an image has waited for long: others are gone, or have more than they can predict."""
        lanes = [self._served[model].lanes for model in self.models if model in self._served]
        if lanes and any(self._is_late(one.model) for one in lanes[0].lanes_with_entries(*lanes[1:])):
            self._hear_again()

    def _has_others(self, model: ModelName) -> bool:
        """Tell whether other workers serve a model; while Redis is away, that none does."""
        try:
            return self._gauges.has_other_workers(model, self._worker)
        except redis.RedisError:
            return False

    def _is_late(self, model: ModelName) -> bool:
        return max(lane.oldest for lane in self._gauges.lanes(model)) >= LONG
