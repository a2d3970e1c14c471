"""A million expired rows: how long deleting them takes, and what it costs those who write rows meanwhile."""

import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.load.committer import committing
from benchmarks.measuring.predictions import measure_run
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench, WrongResult

SETTINGS: Final = {"DARKROOM_RETENTION_PREDICTIONS": "P30D"}
# As the recorder writes them; ids as UUIDs version 7 of their time, made from a number where that is the same.
_FILL: Final = """
    INSERT INTO predictions (
        id, owner, model, version, version_key, variant, status, source, image_sha256, image, output, attempts,
        created_at, started_at, completed_at, queue_ms, predict_ms, batch_size, worker, metadata, base_url
    )
    SELECT (lpad(to_hex((extract(epoch FROM made) * 1000)::bigint), 12, '0') || '70008000' ||
            lpad(to_hex(%(first)s + n), 12, '0'))::uuid,
           'default', %(model)s, '1', '1-m-1', 'champion', 'succeeded', 'model', repeat('0', 64),
           '{"format": "PNG", "width": 32, "height": 32, "bytes": 1600, "filename": null}',
           '{"predicted_class": "7", "predicted_index": 7, "confidence": 0.9, "probabilities": {"7": 0.9, "1": 0.1}}',
           1, made, made, made, 1.0, 1.0, 8, 'worker', '{}', 'http://127.0.0.1'
    FROM (SELECT n, now() - %(age)s::interval + n * interval '1 millisecond' AS made
          FROM generate_series(1, %(rows)s) AS n) AS numbered
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """`seconds` until all rows were gone, while nothing else was done but the run that is measured meanwhile.

    Throughputs in images a second to the last row: with an empty table, and while rows are being deleted. `commits_…`:
    milliseconds of commits of one row, one every 20 ms, during the first run and from the second until all were gone.
    """

    rows: int
    seconds: float
    alone: float
    meanwhile: float
    commits_alone: list[float]
    commits_meanwhile: list[float]
    left_after_run: int
    """Old rows left when the run meanwhile had its last row."""


def measure(bench: Workbench, stack: Stack, subject: Subject) -> Forgotten:
    """Run alone, fill the table, run again while the record worker's sweeps empty it."""
    images = bench.amounts.digits

    def commit(cursor: Any, number: int) -> None:
        cursor.execute(_FILL, {"model": stack.model, "rows": 1, "first": number, "age": "0 days"})

    with committing(stack, commit) as commits_alone:
        alone = measure_run(bench, stack, subject, images=images).images_per_second
    rows = bench.amounts.old_rows
    bench.say(f"  {rows:,} rows of two months ago")
    with stack.connected() as cursor:
        cursor.execute(_FILL, {"model": stack.model, "rows": rows, "first": 0, "age": "60 days"})
    began = time.monotonic()
    with committing(stack, commit) as commits_meanwhile:
        meanwhile = measure_run(bench, stack, subject, images=images).images_per_second
        left = _old(stack)
        if not left:
            raise WrongResult("all old rows were gone before the run beside it was over")
        ended = servers.wait_until(lambda: not _old(stack), limit=900, pause=2, what="no old row")
    young = 2 * images + len(commits_alone) + len(commits_meanwhile)
    if stack.count_rows() < young:
        raise WrongResult(f"{stack.count_rows()} rows are left of {young} that are young")
    return Forgotten(
        rows=rows,
        seconds=ended - began,
        alone=alone,
        meanwhile=meanwhile,
        commits_alone=commits_alone,
        commits_meanwhile=commits_meanwhile,
        left_after_run=left,
    )


def _old(stack: Stack) -> int:
    with stack.connected() as cursor:
        cursor.execute("SELECT count(*) FROM predictions WHERE created_at < now() - interval '30 days'")
        return int(cursor.fetchone()[0])
