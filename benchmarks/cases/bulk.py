"""One archive of many images beside one request an image, on the same stack: speed, and processor time an image."""

from dataclasses import dataclass

from benchmarks.measuring import bulk_uploads
from benchmarks.measuring.predictions import Run, Throughput, measure_run, median_run
from benchmarks.order_statistics import middle
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """From the first byte sent to the last row: `singles` with one request an image, `archive` with one zip of all."""

    images: int
    singles: Throughput
    archive: Throughput
    accepted_per_second: float
    """Images a second from the first byte to the 202."""


def warm_up(bench: Workbench, stack: Stack, subject: Subject) -> None:
    """Upload a few images in each form before anything is measured."""
    for kind in ("zip", "form", "lines"):
        bulk_uploads.send_upload(bench, bulk_uploads.plan_upload(bench, stack, subject, images=200, kind=kind))
    stack.wait_until_idle(limit=60)


def measure(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> Bulk:
    """Alternate single requests and an archive, so that a machine that slows down slows both; repeat as planned."""
    singles, archives, accepted = [], [], []
    for _ in range(bench.amounts.repeats):
        singles.append(measure_run(bench, stack, subject, images=images))
        run, speed = _upload(bench, stack, subject, images=images)
        archives.append(run)
        accepted.append(speed)
    return Bulk(
        images=images,
        singles=median_run(singles),
        archive=median_run(archives),
        accepted_per_second=middle(accepted),
    )


def _upload(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> tuple[Run, float]:
    """Send one zip, wait for its last row, check each; return the run, and how many a second were accepted."""
    upload = bulk_uploads.plan_upload(bench, stack, subject, images=images)
    with bulk_uploads.prepared_client(bench, upload) as client:
        client.wait_until_ready()
        before = stack.spent()
        uploaded = bulk_uploads.send_prepared(client, upload)
        stack.wait_until_idle(limit=upload.limit)
        ended = bulk_uploads.wait_until_completed(stack, uploaded, limit=30)
        after = stack.spent()
    bulk_uploads.check_results(bench, stack, subject, uploaded, images=images)
    run = Run(
        images_per_second=images / (ended - uploaded.started),
        milliseconds=processors.milliseconds_each(before, after, jobs=images),
        generator_milliseconds=uploaded.processor_seconds * 1000 / images,
    )
    return run, images / (uploaded.accepted - uploaded.started)
