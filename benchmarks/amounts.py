"""How much each case does, in a full run and in a quick one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much each case does: enough for steady figures, or little for a quick check while developing."""

    repeats: int
    digits: int
    """Different digit images; one throughput run sends all of them, the bare loop five times over."""
    waiting: int
    """Requests of a run with `Prefer: wait` at concurrency 64."""
    single: int
    """Requests of the latency run, one at a time."""
    tutorial: int
    photographs: int
    """Different photographs; runs send them many times over, stamped."""
    photograph_requests: int
    tutorial_photographs: int
    depth: int
    depth_jobs: int
    """Jobs submitted and drained at each depth."""
    growth_jobs: int
    """Jobs of one turn of each amount of growth."""
    growth_depth: int
    """The most that wait then; a million with `--deepest`."""
    large_upload: int
    """Images of one upload while memory is watched; and those that wait while others are in a hurry."""
    kept_waiting: int
    """The least number of them that must still wait at the end."""
    hurried: int
    """Requests sent meanwhile, one at a time."""
    small_batches: int
    """Uploads of few images sent meanwhile, one after the other."""
    deliveries: int
    """Webhooks delivered to a fast receiver."""
    deliveries_beside: int
    """Webhooks delivered one after the other, while a thousand other receivers hang."""
    flood_seconds: int
    old_rows: int
    """Rows that retention deletes."""
    swap_seconds: float
    """Seconds of steady load before a promotion, and as many after it."""
    shadow_seconds: float
    """Seconds of steady load of a turn without a shadow, and of one with it."""
    report_rows: int
    """Predictions of a day that a report is about; ten million with `--deepest`."""
    report_turns: int
    """Turns without and with the trigger that notes new rows for reports."""


FULL = Amounts(
    repeats=3,
    digits=20_000,
    waiting=10_000,
    single=2_000,
    tutorial=3_000,
    photographs=128,
    photograph_requests=4_000,
    tutorial_photographs=600,
    depth=100_000,
    depth_jobs=5_000,
    growth_jobs=10_000,
    growth_depth=100_000,
    large_upload=100_000,
    kept_waiting=20_000,
    hurried=500,
    small_batches=5,
    deliveries=10_000,
    deliveries_beside=500,
    flood_seconds=60,
    old_rows=1_000_000,
    swap_seconds=15,
    shadow_seconds=30,  # p99 of 12 s at 100 images/s is that of 12 requests
    report_rows=1_000_000,
    report_turns=4,
)
QUICK = Amounts(
    repeats=1,
    digits=4_000,
    waiting=2_000,
    single=300,
    tutorial=600,
    photographs=24,
    photograph_requests=400,
    tutorial_photographs=150,
    depth=10_000,
    depth_jobs=2_000,
    growth_jobs=2_000,
    growth_depth=1_000,
    large_upload=10_000,
    kept_waiting=1_000,
    hurried=50,
    small_batches=2,
    deliveries=500,
    deliveries_beside=50,
    flood_seconds=8,
    old_rows=50_000,
    swap_seconds=10,
    shadow_seconds=5,
    report_rows=50_000,
    report_turns=1,
)
