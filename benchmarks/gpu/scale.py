"""How much a run does."""

from dataclasses import dataclass

from benchmarks.gpu.subjects import DIGITS, MODELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Amounts of one run; a throughput run's length is in seconds, since speeds differ by a hundred times."""

    models: tuple[str, ...]
    first_alone: bool
    """Whether the first model has a stack of its own; the others share one."""
    photographs: int
    digits: int
    """Different images of each kind."""
    warm_up: int
    single: int
    """Requests that are sent one at a time."""
    throughput_seconds: float
    waiting_seconds: float
    ceiling_seconds: float
    """Of each single figure of the ceilings."""
    start_limit: float
    part_limit: float
    ceilings_limit: float
    """Seconds that a stack's start, one measurement, and all ceilings may take."""


FULL = Scale(
    models=MODELS,
    first_alone=True,
    photographs=128,
    digits=2_000,
    warm_up=1_000,
    single=300,
    throughput_seconds=6.0,
    waiting_seconds=3.0,
    ceiling_seconds=0.6,
    start_limit=100.0,
    part_limit=75.0,
    ceilings_limit=110.0,
)
SMALL = Scale(
    models=("mobilenet_v3_small", DIGITS),
    first_alone=False,
    photographs=8,
    digits=200,
    warm_up=16,
    single=5,
    throughput_seconds=0.4,
    waiting_seconds=0.2,
    ceiling_seconds=0.03,
    # Small amounts are for tests, on machines that are busy with others.
    start_limit=400.0,
    part_limit=200.0,
    ceilings_limit=300.0,
)
