"""The registry as one worker changes it: a model's aliases and tags are written only in that model's turn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import redis

from shared.domain.identifiers import ModelName
from shared.domain.registry_change import Registry
from shared.queue.model_turns import ModelTurns, WriterInTurn
from shared.queue.server_clock import server_time
from shared.registry.registry_writer import RegistryWriter
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.registry_snapshot import RegistrySnapshot


class RegistryInTurn:
    """Called from one thread; raises what MLflow and Redis raise."""

    def __init__(
        self,
        reader: RegistryReader,
        writer: RegistryWriter,
        *,
        client: redis.Redis,
        worker: str,
        now: Callable[[], float] | None = None,
    ) -> None:
        """`now` returns seconds since 1970; by Redis' clock, which all workers share, where it is not given."""
        self._reader = reader
        self._writer = writer
        self._turns = ModelTurns(client, worker=worker)
        self.now = now or partial(server_time, client)

    def read(self, model: ModelName) -> RegistrySnapshot:
        """Return what the registry has of a model now; raises NotRegistered where it has none."""
        return self._reader.read(model)

    @contextmanager
    def turn(self, model: ModelName) -> Iterator[Registry | None]:
        """Hold the model's turn for the block and give what writes in it; None where another has the turn."""
        with self._turns.held(model) as turn:
            yield None if turn is None else WriterInTurn(self._writer, turn)
