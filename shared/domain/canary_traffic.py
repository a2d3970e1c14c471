"""What a canary wants the registry to say, and what somebody else has changed there."""

from dataclasses import dataclass

from shared.domain.canary import Canary, Phase
from shared.domain.identifiers import VersionNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the registry says: champion, challenger and the challenger's share in per cent, None where not set."""

    champion: VersionNumber | None
    challenger: VersionNumber | None
    percent: int | None


def wanted_traffic(canary: Canary) -> Traffic | None:
    """Return what the registry has to say in this state; None where it is left as it is."""
    match canary.phase:
        case Phase.RUNNING:
            return Traffic(champion=canary.champion, challenger=canary.version, percent=canary.percent)
        case Phase.PROMOTED:
            return Traffic(champion=canary.version, challenger=None, percent=None)
        case Phase.WENT_BACK | Phase.STOPPED:
            return Traffic(champion=canary.champion, challenger=None, percent=None)
        case Phase.ENDED:
            return None


def changed_by_others(canary: Canary, found: Traffic) -> str:
    """Return in words what somebody else changed, or an empty text.

    While the canary is moving, what it was and what it will be both may be found, each alias by itself.
    """
    if not canary.is_running and not canary.moving:
        return ""
    wanted = wanted_traffic(canary)
    if wanted is None:
        return ""
    before = Traffic(champion=canary.champion, challenger=canary.version, percent=None)
    champions = {wanted.champion, before.champion} if canary.moving else {wanted.champion}
    if found.champion not in champions:
        return f"somebody else made version {found.champion or 'none'} the champion"
    is_first = canary.moving and canary.is_running and canary.step == 0
    challengers = {wanted.challenger, before.challenger} if canary.moving else {wanted.challenger}
    if found.challenger not in challengers and not is_first:
        return f"somebody else made version {found.challenger or 'none'} the challenger"
    if not canary.moving and found.percent != wanted.percent:
        return f"somebody else set the challenger's share to {found.percent if found.percent is not None else 'none'}"
    return ""


def left_share(canary: Canary, found: Traffic) -> str:
    """Return in words which share a canary that ended leaves to its version, since nobody else took it; else empty."""
    if found.challenger != canary.version:
        return ""
    share = f" with {found.percent}%" if found.percent is not None and found.percent >= 0 else ""
    return f"; version {canary.version} stays the challenger{share}"
