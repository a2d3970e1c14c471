"""An automatic canary: a version gets a growing share of a model's traffic while its figures hold, or goes back.

The state is one registry tag. `decide` returns the next state for the figures at hand; it moves nothing itself. Each
change is written twice: first with `moving`, before the aliases and the share are changed, then without. So whoever
finds it `moving` after a kill makes the same changes again, and whoever finds the registry otherwise than the state
says knows that somebody else has changed it.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from shared.domain.ages import written_age
from shared.domain.identifiers import VersionNumber
from shared.domain.written_numbers import written

CANARY_TAG: Final = "darkroom.canary"
"""Tag of a registered model that holds its canary's state as JSON."""
LEAST_IMAGES: Final = 100
"""Images that a step judges at least, unless the canary says otherwise."""
PATIENCE: Final = 86_400.0
"""Seconds for which a step waits for enough images at most, unless the canary says otherwise."""
LOAD_PATIENCE: Final = 300.0
"""Seconds for which a version that fails to load is waited for at most: a worker that can load it may be at it."""
LONGEST_REASON: Final = 300
"""Characters of a load's failure in a canary's reason."""


class Phase(StrEnum):
    """Where a canary is."""

    RUNNING = "running"
    PROMOTED = "promoted"
    WENT_BACK = "went_back"
    STOPPED = "stopped"
    """By an operator."""
    ENDED = "ended"
    """Somebody else changed the aliases or the share; they are left as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the canary since its step began, and of the champion too where that computed enough; p99 in milliseconds.

    `errors` are images that the model failed, `ended` those that it answered or failed. `agreed` of `compared` images
    got the champion's answer from this version as shadow.
    """

    ended: int
    errors: int
    p99_ms: float | None
    champion_p99_ms: float | None
    agreed: int = 0
    compared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The state of a canary, as the tag holds it. Instants are seconds since 1970.

    `max_errors` and `min_agreement` are shares, `max_p99` a multiple of the champion's, `every` and `patience` the
    seconds that a step lasts at least and waits at most for what it is judged by. `reason` says in words why the canary
    is where it is, or what it waits for.
    """

    version: VersionNumber
    champion: VersionNumber
    steps: tuple[int, ...]
    every: float
    max_errors: float
    max_p99: float
    began: float
    since: float
    min_agreement: float | None = None
    min_images: int = LEAST_IMAGES
    patience: float = PATIENCE
    step: int = 0
    phase: Phase = Phase.RUNNING
    moving: bool = True
    reason: str = ""

    @property
    def percent(self) -> int:
        """The share that the present step gives to the version."""
        return self.steps[self.step]

    @property
    def waits_until(self) -> float:
        """The instant at which the present step ends without having been judged."""
        return self.since + max(self.every, self.patience)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.phase is Phase.RUNNING

    def to_text(self) -> str:
        """Return the tag's value."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the state that a tag holds; raises ValueError, with the reason, where it is none."""
        try:
            found: dict[str, Any] = json.loads(text)
            members = {one.name: found[one.name] for one in fields(cls) if one.name in found}
            canary = cls(**{**members, "steps": tuple(members["steps"]), "phase": Phase(members["phase"])})
            canary.words()
            _written(canary.waits_until)
        except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"the tag {CANARY_TAG} holds no canary: {error}") from None
        if not is_steps(canary.steps) or canary.step not in range(len(canary.steps)):
            raise ValueError(f"the tag {CANARY_TAG} holds no canary: its steps are {canary.steps}")
        return canary

    def words(self) -> str:
        """Return the state in a sentence, with the time since when it is so."""
        version, at = f"version {self.version}", _written(self.since)
        match self.phase:
            case Phase.RUNNING:
                place = f"{version} gets {self.percent}% since {at} (step {self.step + 1} of {len(self.steps)})"
            case Phase.PROMOTED:
                place = f"{version} became champion at {at}"
            case Phase.WENT_BACK:
                place = f"{version} went back at {at}"
            case Phase.STOPPED:
                place = f"the canary of {version} was stopped at {at}"
            case Phase.ENDED:
                place = f"the canary of {version} ended at {at}"
        return f"{place}: {self.reason}" if self.reason else place

    def words_beside(self, champion: VersionNumber | None) -> str:
        """Return `words`, and which version is champion now where another one is than the canary promoted."""
        is_left = self.phase is Phase.PROMOTED and not self.moving and champion != self.version
        if not is_left:
            return self.words()
        return f"{self.words()}; now {f'version {champion}' if champion else 'none'} is champion"


def _written(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M} UTC"


def is_steps(steps: tuple[int, ...]) -> bool:
    """Tell whether these are steps of a canary: rising percentages from 1 to 100, the last one 100."""
    whole = all(type(one) is int and 0 < one <= 100 for one in steps)  # noqa: PLR2004  per cent
    return bool(steps) and whole and list(steps) == sorted(set(steps)) and steps[-1] == 100  # noqa: PLR2004


def decide(canary: Canary, figures: Figures, *, now: float) -> Canary:
    """Return the state that follows from the figures; the same where nothing does. Repeating it changes nothing.

    What breaks a limit goes back at once. A step is left after `every`, where it has judged `min_images` images. Where
    it can't be judged within `patience` it goes back too: what is not known to be better does not stay half promoted.
    """
    if not canary.is_running or canary.moving:
        return canary
    broken = _broken(canary, figures)
    if broken:
        return replace(canary, phase=Phase.WENT_BACK, moving=True, since=now, reason=broken)
    lack = _lack(canary, figures)
    if lack is not None:
        return _wait(canary, lack, now=now)
    if now - canary.since < canary.every:
        return canary if not canary.reason else replace(canary, reason="")
    if canary.step + 1 < len(canary.steps):
        return replace(canary, step=canary.step + 1, moving=True, since=now, reason="")
    return replace(canary, phase=Phase.PROMOTED, moving=True, since=now, reason="every step held")


def _wait(canary: Canary, lack: "_Lack", *, now: float) -> Canary:
    if now >= canary.waits_until:
        return replace(canary, phase=Phase.WENT_BACK, moving=True, since=now, reason=lack.after(canary))
    waits = lack.meanwhile(canary)
    return canary if canary.reason == waits else replace(canary, reason=waits)


def decide_unloadable(canary: Canary, failure: str, *, now: float) -> Canary:
    """Return the state that follows where workers can't load the version, and why; the same with an empty `failure`.

    It goes back once the step has lasted as long as a step has to, or LOAD_PATIENCE. Repeating it changes nothing.
    """
    if not failure or not canary.is_running or canary.moving:
        return canary
    why = f"workers can't load it: {failure[:LONGEST_REASON]}"
    if now - canary.since < min(canary.every, LOAD_PATIENCE):
        return canary if canary.reason == why else replace(canary, reason=why)
    return replace(canary, phase=Phase.WENT_BACK, moving=True, since=now, reason=why)


def decide_deleted(canary: Canary, *, now: float) -> Canary:
    """Return the state that follows where the registry has not the version any more: no alias can name it.

    It goes back, from the middle of becoming champion too. Repeating it changes nothing.
    """
    if not canary.is_running and not (canary.phase is Phase.PROMOTED and canary.moving):
        return canary
    why = f"version {canary.version} is not in the registry any more"
    return replace(canary, phase=Phase.WENT_BACK, moving=True, since=now, reason=why)


def _broken(canary: Canary, figures: Figures) -> str:
    """Return in words which limit the figures break, or an empty text."""
    allowed = canary.max_errors * max(figures.ended, canary.min_images)
    if figures.errors > allowed:
        return (
            f"at {canary.percent}% it failed {figures.errors:,} of {figures.ended:,} images, "
            f"over {canary.max_errors:.2%}"
        )
    if figures.ended >= canary.min_images and figures.p99_ms is not None and figures.champion_p99_ms:
        times = figures.p99_ms / figures.champion_p99_ms
        if times > canary.max_p99:
            return (
                f"at {canary.percent}% its p99 is {figures.p99_ms:.1f} ms, {times:.2f} times the champion's "
                f"{figures.champion_p99_ms:.1f} ms, over {written(canary.max_p99)}"
            )
    if canary.min_agreement is not None and figures.compared >= canary.min_images:
        share = figures.agreed / figures.compared
        if share < canary.min_agreement:
            return (
                f"it agrees with the champion on {share:.2%} of {figures.compared:,} images, "
                f"under {canary.min_agreement:.2%}"
            )
    return ""


@dataclass(frozen=True, slots=True)
class _Lack:
    """What is missing to judge a step: as what is waited for, and as what there was in the end."""

    wanted: str
    found: str

    def meanwhile(self, canary: Canary) -> str:
        """Return the reason while it is waited for; without counts, so that it stays."""
        return f"waits {self.wanted}, at most until {_written(canary.waits_until)}"

    def after(self, canary: Canary) -> str:
        """Return the reason once that took too long."""
        waited = written_age(timedelta(seconds=canary.waits_until - canary.since))
        return f"{self.found} within {waited}, too few to judge it by"


def _lack(canary: Canary, figures: Figures) -> _Lack | None:
    least = f"{canary.min_images:,} images"
    if figures.ended < canary.min_images:
        place = f"at {canary.percent}%"
        return _Lack(f"until it has answered {least} {place}", f"{place} it answered {figures.ended:,} of {least}")
    if figures.champion_p99_ms is None:
        return _Lack("for images that the champion computes, to compare its p99", "the champion computed no image")
    if canary.min_agreement is not None and figures.compared < canary.min_images:
        return _Lack(
            f"until {least} are compared with it as shadow",
            f"{figures.compared:,} of {least} were compared with it as shadow",
        )
    return None
