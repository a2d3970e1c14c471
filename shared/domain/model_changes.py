"""Plans what is written to the registry so that another version serves.

A plan may also be made anew from what a killed one has left: it ends where that would have ended.
"""

from typing import Final

from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import VersionNumber
from shared.domain.model_route import (
    CHALLENGER,
    CHALLENGER_PERCENT,
    CHAMPION,
    PREVIOUS_CHAMPION,
    SHADOW,
    SHADOW_PERCENT,
)
from shared.domain.registered_model import RegisteredModel
from shared.domain.registry_change import Change, Write

VERSION: Final = r"^([1-9][0-9]{0,17}|latest)$"
"""How a version is written that is to serve."""
_BEFORE: Final = "its champion before"


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
