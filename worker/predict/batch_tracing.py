"""Spans of micro-batches and of their images, made once a micro-batch is finished, from the times of its steps.

An image's spans are in its request's trace: `queue`, then `predict` with the steps that it was part of. The micro-batch
has a trace of its own, whose span links its images, as OpenTelemetry's messaging conventions say of batches. A worker
that is killed in between has made no span of these images; whoever computes them again makes them all.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.domain.identifiers import ModelName
from shared.domain.prediction import Status
from shared.observability.tracing.harmless import harmless
from shared.queue import keys
from shared.queue.consumer.entries import Entry, Result

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Attributes, Span, Tracing

Step = Callable[[str, Sequence[Entry]], AbstractContextManager[None]]
"""Takes a step's name and its entries; what it returns measures the step while it is entered."""

MOST_BEGUN: Final = 1000
"""Entries at most whose first steps are kept until their next micro-batch; some never have one, as canceled ones."""
_NOTHING: Final = nullcontext()


class Untraced:
    """What is called in place of BatchTracing where tracing is off: it makes no span."""

    def begin(self, start: float) -> float:
        """Return `start`, the time at which a micro-batch begins."""
        return start

    def step(self, _name: str, _entries: Sequence[Entry], /) -> AbstractContextManager[None]:
        """Measure nothing."""
        return _NOTHING

    def finish(self, _results: Sequence[Result], /) -> None:
        """Do nothing."""


UNTRACED: Final = Untraced()


_Key = tuple[str, str]
"""An entry's lane and id."""


class _StepTime(NamedTuple):
    """A step of a micro-batch: nanoseconds since 1970, and the entries that were part of it."""

    name: str
    begun: int
    ended: int
    entries: frozenset[_Key]


class _MicroBatch:
    """What a thread computes at the moment; times are nanoseconds since 1970."""

    def __init__(self) -> None:
        self.begun = self.ended = time.time_ns()
        self.steps: list[_StepTime] = []

    def steps_of(self, entry: _Key) -> "_Steps":
        """Return the steps that an entry was part of."""
        return _Steps(self.begun, [step for step in self.steps if entry in step.entries])


class _Steps(NamedTuple):
    """An entry's steps so far, and when a worker began with it."""

    begun: int
    steps: list[_StepTime]


class BatchTracing(Untraced):
    """One model's spans. Each thread calls `begin`, `step` as it computes, and `finish` where there are results."""

    def __init__(self, tracing: "Tracing", *, model: ModelName, shadow: bool = False) -> None:
        """`shadow`: they are of the model's shadow, and their names say so."""
        self._tracing = tracing
        self._prefix = "shadow " if shadow else ""
        self._model = model
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._begun = OrderedDict[_Key, _Steps]()
        """Entries that need another micro-batch: heavy images, and pictures of pipelines with many crops."""
        self._common: Attributes = {
            "messaging.system": "redis",
            "messaging.destination.name": model,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": keys.WORKERS,
        }

    def begin(self, start: float) -> float:
        """Begin a micro-batch in this thread; return `start`."""
        self._of_thread.batch = _MicroBatch()
        return start

    @contextmanager
    def step(self, name: str, entries: Sequence[Entry], /) -> Iterator[None]:
        """Measure a step of this thread's micro-batch; one that raises is measured, too."""
        begun = time.time_ns()
        try:
            yield
        finally:
            batch: _MicroBatch | None = getattr(self._of_thread, "batch", None)
            if batch is not None:
                ids = frozenset((entry.lane, entry.id) for entry in entries)
                batch.steps.append(_StepTime(name, begun, time.time_ns(), ids))

    def finish(self, results: Sequence[Result], /) -> None:
        """Make the spans of this thread's micro-batch, whose jobs have ended. Raises nothing."""
        with harmless():
            batch: _MicroBatch = self._of_thread.batch
            batch.ended = time.time_ns()
            images = [one for one in results if one.entry.trace and self._tracing.takes(one.entry.trace)]
            uploads = {one.entry.upload_trace for one in results if one.entry.upload_trace}
            links = [one.entry.trace for one in images] + [one for one in sorted(uploads) if self._tracing.takes(one)]
            steps = self._steps_of(batch, {_key(one) for one in results})
            if links:
                span = self._make_batch(batch, results, links)
                for image in images:
                    self._make_image(steps[_key(image)], image, span, size=len(results), ended=batch.ended)

    def _steps_of(self, batch: _MicroBatch, ended: set[_Key]) -> dict[_Key, _Steps]:
        """Return the steps of the entries that have ended, and keep those of the others for their next micro-batch."""
        with self._lock:
            found = {}
            for key in ended.union(*(step.entries for step in batch.steps)):
                steps = batch.steps_of(key)
                if (earlier := self._begun.pop(key, None)) is not None:
                    steps = _Steps(earlier.begun, earlier.steps + steps.steps)
                if key in ended:
                    found[key] = steps
                else:
                    self._begun[key] = steps
            while len(self._begun) > MOST_BEGUN:
                self._begun.popitem(last=False)
        return found

    def _make_batch(self, batch: _MicroBatch, results: Sequence[Result], links: Sequence[str]) -> "Span":
        size: Attributes = {"messaging.batch.message_count": len(results)}
        span = self._tracing.start_always(
            f"{self._prefix}process {self._model}",
            kind="consumer",
            at=batch.begun,
            attributes={**self._common, **size},
            links=links,
        )
        for step in batch.steps:
            images: Attributes = {"darkroom.images": len(step.entries)}
            made = self._tracing.start_always(step.name, parent=span.trace, at=step.begun, attributes=images)
            made.end(step.ended)
        span.end(batch.ended)
        return span

    def _make_image(self, steps: _Steps, result: Result, of_batch: "Span", *, size: int, ended: int) -> None:
        entry, start = result.entry, self._tracing.start
        # Submission is by Redis' clock, in milliseconds: it may seem to come after what followed.
        came = min(entry.submitted_ms * 1_000_000, steps.begun)
        start(f"{self._prefix}queue {self._model}", parent=entry.trace, at=came).end(steps.begun)
        attributes: Attributes = {
            **self._common,
            "messaging.message.id": entry.id,
            "darkroom.version": entry.version,
            "darkroom.attempt": entry.attempts,
            "darkroom.batch_size": size,
        }
        span = start(
            f"{self._prefix}predict {self._model}",
            kind="consumer",
            parent=entry.trace,
            at=steps.begun,
            attributes=attributes,
            links=[of_batch.trace],
        )
        for step in steps.steps:
            start(step.name, parent=span.trace, at=step.begun).end(step.ended)
        if result.state == Status.FAILED:
            span.fail(result.code, result.error)
        span.end(ended)


def _key(result: Result) -> _Key:
    return result.entry.lane, result.entry.id
