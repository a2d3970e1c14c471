"""Under which conditions a history is played: which faults occur, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Conditions:
    """Which faults occur, and how often.

    `kills` and `evictions` are chances a step, `deadlines` a submission's to have one; a batch takes up to `slowness`
    times as long as a command. Without `leases_hold` any pull may claim anything.
    """

    kills: float = 0.02
    accidents: bool = True
    leases_hold: bool = False
    evictions: float = 0.02
    deadlines: float = 0.25
    slowness: int = 3


CHAOS = Conditions()
"""Kills anywhere, lost bells, evicted keys, flipped routes, Postgres up and down, claims of live entries."""
DROUGHT = Conditions(evictions=0.3, deadlines=0.7, slowness=60)
"""Slow models, so that many jobs end while others wait on, and memory so short that ended jobs are soon evicted."""
CALM = Conditions(kills=0.0, accidents=False)
"""No accidents: bells alone, without ticks or sweeps, must bring every job to its end."""
POISONED = Conditions(kills=0.0, leases_hold=True)
"""Only the poisonous image kills workers, and live workers' leases hold: no other image may fail as worker_lost."""
