"""The gateway's memory during an upload, for each of the three kinds of body."""

from dataclasses import dataclass

from benchmarks.load.upload import Kind
from benchmarks.measuring import bulk_uploads
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench

KINDS: tuple[Kind, ...] = ("zip", "form", "lines")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Megabytes resident of the gateway: idle once warm, before any of the uploads, and at most during this one."""

    kind: Kind
    images: int
    idle: float
    peak: float
    seconds: float
    """From the first byte to the 202."""

    @property
    def above_idle(self) -> float:
        """Memory that the upload added."""
        return self.peak - self.idle


def measure(bench: Workbench, stack: Stack, subject: Subject, *, images: int) -> list[Memory]:
    """Upload `images` in each kind of body while the workers compute; memory that one keeps counts for the next."""
    pids = stack.roles["api"]
    idle, found = processors.resident_megabytes(pids), []
    for kind in KINDS:
        bench.say(f"  {images:,} images as {kind}")
        upload = bulk_uploads.plan_upload(bench, stack, subject, images=images, kind=kind)
        processors.forget_peak(pids)
        uploaded = bulk_uploads.send_upload(bench, upload)
        peak = processors.peak_megabytes(pids)
        seconds = uploaded.accepted - uploaded.started
        found.append(Memory(kind=kind, images=images, idle=idle, peak=peak, seconds=seconds))
        stack.wait_until_idle(limit=upload.limit)
        bulk_uploads.wait_until_completed(stack, uploaded, limit=30)
        bulk_uploads.check_results(bench, stack, subject, uploaded, images=images)
    return found
