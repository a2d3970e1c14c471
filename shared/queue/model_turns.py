"""Turns to change what serves of a model: one worker or command at a time has a model's, for a minute at most.

One that hung for longer, in the registry or stopped by the system, may wake while another has the turn: so it asks
before each write whether its turn still is its own. What is left is the time of one write.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

import redis

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.registry_change import Registry
from shared.queue import keys
from shared.queue.lua import Script, Scripts

LONGEST: Final = timedelta(seconds=60)
"""How long a turn lasts at most; whatever is done in one may be done again by the next."""


class TurnLost(Exception):
    """The turn's time is over: another may change the model."""

    def __init__(self, model: ModelName) -> None:
        super().__init__(f"the turn to change {model} is over")


class Turn:
    """A turn to change one model."""

    def __init__(self, client: redis.Redis, model: ModelName, token: str) -> None:
        self._client = client
        self._model = model
        self._token = token.encode()

    def check(self) -> None:
        """Raise TurnLost unless this still is the model's turn."""
        now: Any = self._client.get(keys.model_turn(self._model))
        if now != self._token:
            raise TurnLost(self._model)


class Checked(Protocol):
    """A turn that may be over."""

    def check(self) -> None:
        """Raise TurnLost where it is."""


class WriterInTurn:
    """A registry's writer that asks before each write whether the turn is still its own; raises TurnLost."""

    def __init__(self, writer: Registry, turn: Checked) -> None:
        self._writer = writer
        self._turn = turn

    def set_tag(self, model: ModelName, name: str, value: str) -> None:
        """Set a tag of the registered model."""
        self._turn.check()
        self._writer.set_tag(model, name, value)

    def delete_tag(self, model: ModelName, name: str) -> None:
        """Delete a tag of the registered model; one that is not there is none."""
        self._turn.check()
        self._writer.delete_tag(model, name)

    def set_alias(self, model: ModelName, alias: str, version: VersionNumber) -> None:
        """Point an alias at a version."""
        self._turn.check()
        self._writer.set_alias(model, alias, version)

    def delete_alias(self, model: ModelName, alias: str) -> None:
        """Delete an alias; one that is not there is none."""
        self._turn.check()
        self._writer.delete_alias(model, alias)


class ModelTurns:
    """The turns as one worker or command, `worker`, takes them; raises what Redis raises."""

    def __init__(self, client: redis.Redis, *, worker: str) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._worker = worker

    @contextmanager
    def held(self, model: ModelName) -> Iterator[Turn | None]:
        """Hold a model's turn for the block; None where another has it."""
        token = f"{self._worker} {uuid4().hex}"
        key = keys.model_turn(model)
        # Redis' reply may have been lost, and the command repeated: then the turn is this one already.
        if not self._client.set(key, token, nx=True, px=LONGEST) and self._client.get(key) != token.encode():
            yield None
            return
        try:
            yield Turn(self._client, model, token)
        finally:
            self._scripts.run(Script.END_TURN, (key,), token)
