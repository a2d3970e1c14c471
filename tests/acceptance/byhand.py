"""A predict worker that a test moves step by step, by the product's own scripts, while the real ones hold still."""

import redis

from shared.queue.lanes import Entry, Lanes, Result
from shared.settings import Queue
from tests.acceptance.door import MODEL

OUTPUT = b'{"predicted_class":"7","predicted_index":7,"confidence":0.75,"probabilities":{"7":0.75,"1":0.25}}'
_RUN = b'{"batch_size":1,"predict_ms":1.5,"worker":"by-hand"}'


class WorkerByHand:
    """What it has begun it must finish within the lease, or a real worker takes it over."""

    def __init__(self, client: redis.Redis) -> None:
        self._lanes = Lanes(client, model=MODEL, consumer="by-hand", settings=Queue())
        self._begun: list[Entry] = []

    def begin(self) -> None:
        """Take everything that waits: its jobs are processing."""
        self._begun += self._lanes.begin(self._lanes.pull(64).entries)

    def succeed(self) -> None:
        """End what was begun with OUTPUT."""
        self._finish("succeeded", output=OUTPUT)

    def fail(self, words: str) -> None:
        """End what was begun with an error of the model's."""
        self._finish("failed", error=words, code="model_error")

    def _finish(self, state: str, *, output: bytes = b"", error: str = "", code: str = "") -> None:
        results = [Result(entry, state, output=output, error=error, code=code) for entry in self._begun]
        self._begun = []
        self._lanes.finish(results, run=_RUN)
