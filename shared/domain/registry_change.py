"""A plan of what is written to the registry; the command and workers carry it out.

It names the versions themselves, so it may be carried out again after a kill at any line.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, Self

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHALLENGER_PERCENT, SHADOW_PERCENT, Route


class Registry(Protocol):
    """Writes of a registered model, each of which may be repeated."""

    def set_tag(self, model: ModelName, name: str, value: str) -> object:
        """Set a tag."""

    def delete_tag(self, model: ModelName, name: str) -> object:
        """Delete a tag, if it is there."""

    def set_alias(self, model: ModelName, alias: str, version: VersionNumber) -> object:
        """Point an alias at a version."""

    def delete_alias(self, model: ModelName, alias: str) -> object:
        """Delete an alias, if it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write: of the tag or alias `name`; without a `value` it is deleted."""

    kind: Literal["tag", "alias"]
    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be written, in this order, and what is so afterwards, in a sentence.

    `undo_words` and `undo` say how it is undone: words, and a `darkroom` command without its first word. `version` is
    to serve as `alias`, where one is.
    """

    said: str
    writes: tuple[Write, ...] = ()
    undo_words: str = ""
    undo: str = ""
    alias: str = ""
    version: str = ""

    def to_text(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Return what `to_text` wrote."""
        members = json.loads(text)
        return cls(**{**members, "writes": tuple(Write(**one) for one in members["writes"])})

    def is_served_by(self, route: Route) -> bool:
        """Tell whether a route says what this says: the version of each alias, and its share of the requests."""
        named = {write.name: write.value for write in self.writes if write.kind == "alias"}
        if self.alias:
            named[self.alias] = self.version
        shares = {CHALLENGER_PERCENT: route.challenger_percent, SHADOW_PERCENT: route.shadow_percent}
        wanted = {write.name: write.value for write in self.writes if write.kind == "tag" and write.value is not None}
        return all(route.aliases.get(alias) == version for alias, version in named.items()) and all(
            str(share) == wanted.get(tag, str(share)) for tag, share in shares.items()
        )


def carry_out(registry: Registry, model: ModelName, writes: Iterable[Write]) -> None:
    """Write to the registry; safe to repeat. Raises what the registry raises."""
    for write in writes:
        if write.kind == "tag" and write.value is not None:
            registry.set_tag(model, write.name, write.value)
        elif write.kind == "tag":
            registry.delete_tag(model, write.name)
        elif write.value is not None:
            registry.set_alias(model, write.name, VersionNumber(write.value))
        else:
            registry.delete_alias(model, write.name)
