"""Plans what is written to the registry so that another version serves; the command and workers carry the plans out.

A plan names the versions themselves, so it may be carried out again after a kill at any line. So may a new one be
planned from what a killed one has left: it ends where that would have ended.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, Protocol, Self

from shared.domain.canary import CANARY_TAG, LEAST_IMAGES, PATIENCE, Canary, Phase
from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import (
    CHALLENGER,
    CHALLENGER_PERCENT,
    CHAMPION,
    PREVIOUS_CHAMPION,
    SHADOW,
    SHADOW_PERCENT,
    Route,
)
from shared.domain.registered_model import RegisteredModel

VERSION: Final = r"^([1-9][0-9]{0,17}|latest)$"
"""How a version is written that is to serve."""
_BEFORE: Final = "its champion before"


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


def promote(model: RegisteredModel, number: str) -> Change:
    """Make a version the champion; raises ChangeRefused where it is not ready.

    It is neither challenger nor shadow then: its share would become a later champion's.
    """
    name = model.name
    version, before = model.ready_version(number), model.aliases.get(CHAMPION)
    shares = ((CHALLENGER, CHALLENGER_PERCENT), (SHADOW, SHADOW_PERCENT))
    ended = [(alias, tag) for alias, tag in shares if model.aliases.get(alias) == version]
    # The alias last: killed in between, the next promotion finds it, and ends the share.
    no_more = [
        write for alias, tag in ended for write in (Write(kind="tag", name=tag), Write(kind="alias", name=alias))
    ]
    told = f" It is no {' and no '.join(alias for alias, _ in ended)} any more." if ended else ""
    if version == before:
        said = f"Version {version} of {name} is its champion already.{told}"
        return Change(said=said, writes=tuple(no_more), alias=CHAMPION, version=version)
    # The tag first: killed in between, `rollback` goes to the version that still serves.
    remember = (Write(kind="tag", name=PREVIOUS_CHAMPION, value=before),) if before else ()
    return Change(
        said=f"Promoted version {version} of {name}{f', before it was {before}' if before else ''}.{told}",
        writes=(*remember, Write(kind="alias", name=CHAMPION, value=version), *no_more),
        undo_words="Undo it" if before else "",
        undo=f"models rollback {name}" if before else "",
        alias=CHAMPION,
        version=version,
    )


def roll_back(model: RegisteredModel, *, champion: str | None = None) -> Change:
    """Make the champion before, else the next lower ready version, the champion; raises ChangeRefused for neither.

    `champion` is what the caller takes for the champion: where another is, somebody has changed it, and it is refused.
    Where the champion is also noted as the one before, a promotion or a rollback was killed half-way, or somebody moved
    the alias back: it goes on serving.
    """
    name, now = model.name, model.aliases.get(CHAMPION)
    if now is None:
        raise ChangeRefused(
            reason=f"{name} has no champion", advice="Make one", command=f"models promote {name} latest"
        )
    if champion is not None and champion != now:
        raise ChangeRefused(reason=f"The champion of {name} is version {now}, not {champion}: nothing was rolled back")
    if model.tags.get(PREVIOUS_CHAMPION) == now:
        return Change(
            said=f"Version {now} of {name} serves, and was its champion before: the last change was not finished, or "
            "undone already. Rolled back once more, it goes on to a lower version.",
            writes=(Write(kind="tag", name=PREVIOUS_CHAMPION),),
            alias=CHAMPION,
            version=now,
        )
    version, why = _version_before(model, now)
    # First, so that a rollback that is repeated after a kill goes to the same version.
    remember = () if why == _BEFORE else (Write(kind="tag", name=PREVIOUS_CHAMPION, value=version),)
    return Change(
        said=f"Rolled {name} back from version {now} to {version}, {why}.",
        writes=(
            *remember,
            Write(kind="alias", name=CHAMPION, value=version),
            # Rolled back again, it goes on to a lower version, and not back to the one that was left.
            Write(kind="tag", name=PREVIOUS_CHAMPION),
        ),
        undo_words="Undo it",
        undo=f"models promote {name} {now}",
        alias=CHAMPION,
        version=version,
    )


def begin_challenger(model: RegisteredModel, number: str, *, percent: int) -> Change:
    """Give a version its share of the requests that name none; raises ChangeRefused."""
    name, version = model.name, model.ready_version(number)
    champion = model.aliases.get(CHAMPION)
    if champion is None:
        raise ChangeRefused(reason=f"{name} has no champion to challenge", command=f"models promote {name} {version}")
    if champion == version:
        raise ChangeRefused(reason=f"Version {version} of {name} is its champion: a challenger is another version")
    return Change(
        said=f"Version {version} of {name} is the challenger and gets {percent}% of the requests that name no version.",
        writes=(
            Write(kind="tag", name=CHALLENGER_PERCENT, value=str(percent)),
            Write(kind="alias", name=CHALLENGER, value=version),
        ),
        undo_words="End it",
        undo=f"models challenger {name} --off",
        alias=CHALLENGER,
        version=version,
    )


def end_challenger(model: RegisteredModel) -> Change:
    """Give all requests to the champion again."""
    after = ": its champion gets every request that names no version"
    return _end_share(model, CHALLENGER, CHALLENGER_PERCENT, after=after)


def begin_shadow(model: RegisteredModel, number: str, *, percent: int) -> Change:
    """Let a version predict a share of the champion's images too; raises ChangeRefused."""
    name, version, champion = model.name, model.ready_version(number), model.aliases.get(CHAMPION)
    if champion is None:
        raise ChangeRefused(reason=f"{name} has no champion to compare with", command=f"models promote {name} latest")
    if champion == version:
        raise ChangeRefused(reason=f"Version {version} of {name} is its champion: a shadow is another version")
    return Change(
        said=f"Version {version} of {name} is the shadow: it predicts {percent}% of the champion's images too, once "
        "they are answered and nobody waits.",
        writes=(
            Write(kind="tag", name=SHADOW_PERCENT, value=str(percent)),
            Write(kind="alias", name=SHADOW, value=version),
        ),
        undo_words="End it",
        undo=f"models shadow {name} --off",
        alias=SHADOW,
        version=version,
    )


def end_shadow(model: RegisteredModel) -> Change:
    """Let no version predict beside the champion any more; what was recorded stays."""
    return _end_share(model, SHADOW, SHADOW_PERCENT, after="; what it predicted stays on record")


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryTerms:
    """Steps and limits of a canary, as `Canary` has them."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    every: float = 600.0
    max_errors: float = 0.01
    max_p99: float = 1.5
    min_agreement: float | None = None
    min_images: int = LEAST_IMAGES
    patience: float = PATIENCE


def begin_canary(model: RegisteredModel, number: str, terms: CanaryTerms, *, now: float) -> Change:
    """Begin a canary at `now`, seconds since 1970; raises ChangeRefused where one runs, or the version can't be one."""
    name, version, champion = model.name, model.ready_version(number), model.aliases.get(CHAMPION)
    if champion is None:
        raise ChangeRefused(reason=f"{name} has no champion", command=f"models promote {name} {version}")
    if champion == version:
        raise ChangeRefused(reason=f"Version {version} of {name} is its champion already")
    running = read_canary(model)
    if running is not None and (running.is_running or running.moving):
        stop = f"models canary {name} --off"
        raise ChangeRefused(reason=f"A canary of {name} runs: {running.words()}", advice="Stop it", command=stop)
    challenger = model.aliases.get(CHALLENGER)
    if challenger is not None:
        off = f"models challenger {name} --off"
        raise ChangeRefused(
            reason=f"Version {challenger} of {name} is the challenger", advice="End that first", command=off
        )
    canary = Canary(version=version, champion=champion, began=now, since=now, **asdict(terms))
    return Change(
        said=f"Began: version {version} of {name} gets {canary.percent}% of the requests that name no version.",
        writes=(Write(kind="tag", name=CANARY_TAG, value=canary.to_text()),),
        undo_words="Stop it",
        undo=f"models canary {name} --off",
    )


def stop_canary(model: RegisteredModel) -> Change:
    """Mark a running canary as stopped: workers then give the champion every request again. Safe to repeat."""
    canary = read_canary(model)
    if canary is None or not canary.is_running:
        return Change(
            said=f"No canary of {model.name} runs."
            if canary is None
            else f"{canary.phase}: {canary.words_beside(model.aliases.get(CHAMPION))}"
        )
    stopped = replace(canary, phase=Phase.STOPPED, moving=True, reason="an operator stopped it")
    return Change(
        said=f"The canary of {model.name} is stopped: its champion gets every request again.",
        writes=(Write(kind="tag", name=CANARY_TAG, value=stopped.to_text()),),
    )


def read_canary(model: RegisteredModel) -> Canary | None:
    """Return a model's canary, None where it never had one; raises ChangeRefused for a tag that holds none."""
    text = model.tags.get(CANARY_TAG)
    try:
        return None if text is None else Canary.from_text(text)
    except ValueError as error:
        raise ChangeRefused(reason=f"{error}. Delete the tag to begin anew") from None


def _end_share(model: RegisteredModel, alias: str, tag: str, *, after: str) -> Change:
    if alias not in model.aliases:
        # Killed in between, the last command left the share, which would be a later version's.
        left = (Write(kind="tag", name=tag),) if tag in model.tags else ()
        return Change(said=f"{model.name} has no {alias}.", writes=left)
    writes = (Write(kind="alias", name=alias), Write(kind="tag", name=tag))
    return Change(said=f"{model.name} has no {alias} any more{after}.", writes=writes)


def _version_before(model: RegisteredModel, now: VersionNumber) -> tuple[VersionNumber, str]:
    """Return the version to roll back to, and in words why that one."""
    previous = VersionNumber(model.tags.get(PREVIOUS_CHAMPION, ""))
    if previous != now and previous in model.ready():
        return previous, _BEFORE
    lower = [number for number in model.ready() if int(number) < int(now)]
    if not lower:
        there = ", ".join(model.ready())
        raise ChangeRefused(reason=f"Version {now} of {model.name} has no version before it. Ready are: {there}")
    gone = f" (its champion before, {previous}, is no longer ready)" if previous and previous != now else ""
    return lower[-1], f"the next lower ready version{gone}"
