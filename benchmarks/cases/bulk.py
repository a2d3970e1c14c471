"""One archive of many images beside one request an image, on the same stack: speed, and processor time an image."""

from dataclasses import dataclass

from benchmarks.cases import batches
from benchmarks.cases import darkroom as darkroom_case
from benchmarks.cases.darkroom import Run, Throughput
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench, middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """From the first byte sent to the last row: `singles` with one request an image, `archive` with one zip of all."""

    images: int
    singles: Throughput
    archive: Throughput
    accepted_per_second: float
    """Images a second from the first byte to the 202."""


def warm_up(bench: Workbench, stack: Stack, subject: Subject) -> None:
    """Upload a little in every way before anything counts."""
    for kind in ("zip", "form", "lines"):
        batches.send(bench, batches.upload(bench, stack, subject, images=200, kind=kind))
    stack.wait_until_idle(limit=60)


def measure(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> Bulk:
    """Take turns, so that a machine which slows down slows both, as often as the bench repeats."""
    singles, archives, accepted = [], [], []
    for _ in range(bench.amounts.repeats):
        singles.append(darkroom_case.run(bench, stack, subject, images=images))
        run, speed = _upload(bench, stack, subject, images=images)
        archives.append(run)
        accepted.append(speed)
    return Bulk(
        images=images,
        singles=darkroom_case.median(singles),
        archive=darkroom_case.median(archives),
        accepted_per_second=middle(accepted),
    )


def _upload(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> tuple[Run, float]:
    """Send one zip, wait for its last row, check each; return the run, and how many a second were accepted."""
    upload = batches.upload(bench, stack, subject, images=images)
    with batches.prepared(bench, upload) as client:
        client.wait_until_ready()
        before = stack.spent()
        uploaded = batches.finished(client, upload)
        stack.wait_until_idle(limit=upload.limit)
        ended = batches.wait_until_completed(stack, uploaded, limit=30)
        after = stack.spent()
    batches.check(bench, stack, subject, uploaded, images=images)
    run = Run(
        images_per_second=images / (ended - uploaded.started),
        milliseconds=processors.milliseconds_each(before, after, jobs=images),
        generator_milliseconds=uploaded.processor_seconds * 1000 / images,
    )
    return run, images / (uploaded.accepted - uploaded.started)
