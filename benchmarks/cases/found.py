"""What the cases of a run have found, from which the figures are made."""

from dataclasses import dataclass, field

from benchmarks.cases.bare import Loop
from benchmarks.cases.bulk import Bulk
from benchmarks.cases.bulk_beside import Beside
from benchmarks.cases.bulk_memory import Memory
from benchmarks.cases.depth import Cost
from benchmarks.cases.flood import Flooded
from benchmarks.cases.growth import Grown
from benchmarks.cases.models import ManyModels
from benchmarks.cases.pipelines import Piped
from benchmarks.cases.report import Reported
from benchmarks.cases.retention import Forgotten
from benchmarks.cases.shadow import Shadowed
from benchmarks.cases.single_images import Waiting
from benchmarks.cases.stall import Stall
from benchmarks.cases.swap import Swap
from benchmarks.cases.traces import Traced
from benchmarks.cases.tutorial import Tutorial
from benchmarks.cases.webhook import Webhooks
from benchmarks.cases.webhook_beside import BesideHanging
from benchmarks.measuring.predictions import Throughput


@dataclass(kw_only=True)
class Found:
    """The results of a run so far; cases that did not run have none."""

    loops: dict[tuple[str, int], Loop] = field(default_factory=dict)
    """By subject and number of processes."""
    fast_loops: dict[str, Loop] = field(default_factory=dict)
    """With torchvision's decoding, a process a core."""
    tutorials: dict[str, Tutorial] = field(default_factory=dict)
    throughputs: dict[tuple[str, str], Throughput] = field(default_factory=dict)
    """By subject and appendfsync."""
    singles: dict[str, Waiting] = field(default_factory=dict)
    crowds: dict[str, Waiting] = field(default_factory=dict)
    """Requests that wait, one at a time and 64 at a time, by appendfsync."""
    depths: list[Cost] = field(default_factory=list)
    grown: list[Grown] = field(default_factory=list)
    bulk: Bulk | None = None
    memories: list[Memory] = field(default_factory=list)
    beside: Beside | None = None
    webhooks: Webhooks | None = None
    beside_hanging: BesideHanging | None = None
    flooded: Flooded | None = None
    forgotten: Forgotten | None = None
    models: ManyModels | None = None
    stalls: list[Stall] = field(default_factory=list)
    swaps: dict[str, list[Swap]] = field(default_factory=dict)
    """Promotions by subject."""
    shadows: dict[str, Shadowed] = field(default_factory=dict)
    """By subject."""
    reported: Reported | None = None
    piped: Piped | None = None
    traced: Traced | None = None
