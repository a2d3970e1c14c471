"""Which fault happens when: made from a seed alone, so that a run can be played again."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is done to the stack."""

    KILL = "kill"
    """SIGKILL to one of a role's processes."""
    HOLD = "hold"
    """SIGSTOP to a role's processes, SIGCONT after `seconds`."""
    CUT = "cut"
    """Every connection to Redis or to Postgres is closed by the server."""
    PAUSE = "pause"
    """Redis takes no writes for `seconds`."""
    PROMOTE = "promote"
    """The alias `champion` moves to the version that `target` names."""
    FILL = "fill"
    """The disk that everything lies on is full for `seconds`."""
    RECEIVER = "receiver"
    """Webhook receivers change their manner: `target` says how they answer for `seconds`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at` seconds after the load began, for `seconds` where it lasts."""

    at: float
    kind: Kind
    target: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.kind} {self.target}{lasting}"


# How often each comes, and how long it may last. Processes that hold work come most often.
_ROLES = {"api": 5, "predict": 6, "record": 5, "webhooks": 4, "redis": 3, "postgres": 3, "beat": 1, "mlflow": 1}
_KINDS = {
    Kind.KILL: 10,
    Kind.HOLD: 5,
    Kind.CUT: 4,
    Kind.PAUSE: 1,
    Kind.PROMOTE: 3,
    Kind.FILL: 1,
    Kind.RECEIVER: 2,
}
_LONGEST = {Kind.HOLD: 6.0, Kind.PAUSE: 3.0, Kind.FILL: 8.0, Kind.RECEIVER: 15.0}
QUIET_AT_THE_END = 3.0
"""Seconds before the end in which nothing new happens."""


def make_plan(*, seed: int, seconds: float, mean_gap: float, can_fill: bool) -> list[Fault]:
    """Return the faults of a run in order. Without `can_fill` the disk is never full, and all else stays the same."""
    chance = random.Random(seed)
    faults = []
    at = mean_gap
    while at < seconds - QUIET_AT_THE_END:
        kind = chance.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
        target = _target(kind, chance)
        lasting = round(chance.uniform(0.5, _LONGEST[kind]), 1) if kind in _LONGEST else 0.0
        if kind is not Kind.FILL or can_fill:
            faults.append(Fault(at=round(at, 2), kind=kind, target=target, seconds=lasting))
        at += min(chance.expovariate(1 / mean_gap), 4 * mean_gap)
    return faults


def _target(kind: Kind, chance: random.Random) -> str:
    if kind in (Kind.KILL, Kind.HOLD):
        return chance.choices(list(_ROLES), weights=list(_ROLES.values()))[0]
    if kind is Kind.CUT:
        return chance.choice(("redis", "postgres"))
    if kind is Kind.PROMOTE:
        return chance.choice(("1", "2"))
    if kind is Kind.RECEIVER:
        return chance.choice(("refuses", "hangs", "fails half", "moved"))
    return "redis" if kind is Kind.PAUSE else "disk"
