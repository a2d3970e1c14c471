"""Writes of a registered model that are made only in the model's turn."""

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_changes import Registry
from shared.queue.model_turns import Turn


class WriterInTurn:
    """A registry's writer that asks before each write whether the turn is still its own; raises TurnLost."""

    def __init__(self, writer: Registry, turn: Turn) -> None:
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
