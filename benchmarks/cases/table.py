"""The table of cases: what `--only` names, in the order they run."""

from collections.abc import Callable

from benchmarks.cases import bare, single_images
from benchmarks.cases import bulk as bulk_case
from benchmarks.cases import bulk_beside as bulk_beside_case
from benchmarks.cases import bulk_memory as bulk_memory_case
from benchmarks.cases import depth as depth_case
from benchmarks.cases import flood as flood_case
from benchmarks.cases import growth as growth_case
from benchmarks.cases import models as models_case
from benchmarks.cases import pipelines as pipelines_case
from benchmarks.cases import report as report_case
from benchmarks.cases import retention as retention_case
from benchmarks.cases import shadow as shadow_case
from benchmarks.cases import stall as stall_case
from benchmarks.cases import swap as swap_case
from benchmarks.cases import traces as traces_case
from benchmarks.cases import tutorial as tutorial_case
from benchmarks.cases import webhook as webhook_case
from benchmarks.cases import webhook_beside as webhook_beside_case
from benchmarks.cases.depth import SHALLOW
from benchmarks.cases.found import Found
from benchmarks.measuring.predictions import warm_up_predictions
from benchmarks.stack import darkroom as stack
from benchmarks.stack.decoders import TORCHVISION
from benchmarks.workbench import DIGITS, MOBILENET, Subject, Workbench

Case = Callable[[Workbench, dict[str, Subject], Found], None]


def bare_loops(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Loop over each subject's images, with one process and with one a core."""
    amounts = {DIGITS: 5 * bench.amounts.digits, MOBILENET: bench.amounts.photograph_requests}
    for name, subject in subjects.items():
        for processes in sorted({1, bench.cores}):
            bench.say(f"bare loop: {name}, processes: {processes}")
            images = amounts[name] // 2 if processes == 1 else amounts[name]
            loop = bare.measure(bench, subject, processes=processes, images=images)
            found.loops[name, processes] = loop
        if name == MOBILENET:
            bench.say(f"bare loop: {name}, libjpeg-turbo through torchvision in place of Pillow")
            found.fast_loops[name] = bare.measure(
                bench, subject, processes=bench.cores, images=amounts[name], decoder=TORCHVISION
            )


def tutorials(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Measure the tutorials' design on each subject."""
    amounts = {DIGITS: bench.amounts.tutorial, MOBILENET: bench.amounts.tutorial_photographs}
    for name, subject in subjects.items():
        bench.say(f"tutorial: {name}")
        found.tutorials[name] = tutorial_case.measure(bench, subject, images=amounts[name])


def digits(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Darkroom with the digits model, the append-only file synchronised every second."""
    _digits(bench, subjects[DIGITS], found, appendfsync="everysec")


def always(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Do the same with the file synchronised before each answer."""
    _digits(bench, subjects[DIGITS], found, appendfsync="always")


def _digits(bench: Workbench, subject: Subject, found: Found, *, appendfsync: str) -> None:
    amounts = bench.amounts
    bench.say(f"Darkroom: {DIGITS}, appendfsync {appendfsync}")
    with stack.running(bench, DIGITS, appendfsync=appendfsync) as running:
        warm_up_predictions(bench, running, subject)
        found.throughputs[DIGITS, appendfsync] = single_images.throughput(
            bench, running, subject, images=amounts.digits
        )
        bench.say("  Prefer: wait, one at a time")
        found.singles[appendfsync] = single_images.waiting(
            bench, running, subject, requests=amounts.single, connections=1
        )
        bench.say("  Prefer: wait, 64 at a time")
        found.crowds[appendfsync] = single_images.waiting(
            bench, running, subject, requests=amounts.waiting, connections=64
        )


def depth(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Compare what a job costs with few and with many waiting."""
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        for waiting in (SHALLOW, bench.amounts.depth):
            bench.say(f"Darkroom: {waiting} jobs waiting")
            found.depths.append(
                depth_case.measure(bench, running, subjects[DIGITS], depth=waiting, jobs=bench.amounts.depth_jobs)
            )


def growth(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Compare what a job costs in small and in large installations."""
    growth_case.measure(bench, subjects[DIGITS], found.grown)


def bulk(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """One archive of all digits beside one request a digit."""
    bench.say(f"Darkroom: {bench.amounts.digits:,} digits in one archive")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        bulk_case.warm_up(bench, running, subjects[DIGITS])
        found.bulk = bulk_case.measure(bench, running, subjects[DIGITS], images=bench.amounts.digits)


def bulk_memory(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Watch the gateway's memory during large uploads."""
    bench.say("Darkroom: the gateway's memory during an upload")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        bulk_case.warm_up(bench, running, subjects[DIGITS])
        found.memories = bulk_memory_case.measure(bench, running, subjects[DIGITS], images=bench.amounts.large_upload)


def bulk_beside(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Measure single requests and small batches beside a large batch that waits."""
    bench.say("Darkroom: beside a large batch")
    settings = bulk_beside_case.settings(bench)
    with stack.running(bench, DIGITS, appendfsync="everysec", settings=settings) as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        bulk_case.warm_up(bench, running, subjects[DIGITS])
        found.beside = bulk_beside_case.measure(bench, running, subjects[DIGITS])


def webhooks(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Deliver webhooks to one fast receiver, then to it beside a thousand that hang."""
    bench.say(f"Darkroom: {bench.amounts.deliveries:,} webhooks")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        webhook_case.warm_up(bench, running, subjects[DIGITS])
        found.webhooks = webhook_case.measure(bench, running, subjects[DIGITS], images=bench.amounts.deliveries)
        found.beside_hanging = webhook_beside_case.measure(
            bench, running, subjects[DIGITS], predictions=bench.amounts.deliveries_beside
        )


def mobilenet(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Darkroom with a model that costs milliseconds an image."""
    bench.say(f"Darkroom: {MOBILENET}")
    with stack.running(bench, MOBILENET, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[MOBILENET])
        found.throughputs[MOBILENET, "everysec"] = single_images.throughput(
            bench, running, subjects[MOBILENET], images=bench.amounts.photograph_requests
        )


def flood(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Send four times what can be sustained."""
    bench.say(f"Darkroom: a flood of {MOBILENET}")
    with stack.running(bench, MOBILENET, appendfsync="everysec", settings=flood_case.settings()) as running:
        found.flooded = flood_case.measure(bench, running, subjects[MOBILENET])


def retention(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Delete old rows while the recorder is at work."""
    bench.say("Darkroom: retention")
    with stack.running(bench, DIGITS, appendfsync="everysec", settings=retention_case.SETTINGS) as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        found.forgotten = retention_case.measure(bench, running, subjects[DIGITS])


def stall(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Send the gateway requests that keep it busy, and poll `/health/live` meanwhile."""
    bench.say("Darkroom: one request of every shape")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        warm_up_predictions(bench, running, subjects[DIGITS])
        found.stalls = stall_case.measure(bench, running)


def swap(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Promote a version while images come at a steady rate."""
    for name in (DIGITS, MOBILENET):
        bench.say(f"Darkroom: promotions of {name} at {swap_case.RATES[name]:.0f} images/s")
        with stack.running(bench, name, appendfsync="everysec") as running:
            warm_up_predictions(bench, running, subjects[name])
            found.swaps[name] = swap_case.measure(bench, running, subjects[name])


def models(bench: Workbench, _: dict[str, Subject], found: Found) -> None:
    """Serve many models in the memory of few."""
    bench.say(f"Darkroom: {models_case.MODELS} models")
    with stack.running(
        bench, DIGITS, *models_case.names(), appendfsync="everysec", settings=models_case.SETTINGS
    ) as running:
        found.models = models_case.measure(bench, running)


def shadow(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Let a shadow predict every image, or none, while images come at a steady rate."""
    for name in (DIGITS, MOBILENET):
        bench.say(f"Darkroom: {name} beside a shadow, at {swap_case.RATES[name]:.0f} images/s")
        with stack.running(bench, name, appendfsync="everysec") as running:
            warm_up_predictions(bench, running, subjects[name])
            found.shadows[name] = shadow_case.measure(bench, running, subjects[name])


def report(bench: Workbench, _: dict[str, Subject], found: Found) -> None:
    """Report on a day of many predictions, and find what the counters cost."""
    bench.say(f"Darkroom: a report on {bench.amounts.report_rows:,} predictions")
    with stack.running(bench, DIGITS, appendfsync="everysec") as running:
        found.reported = report_case.measure(bench, running)


def pipelines(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Compare an ensemble and a chain with one model."""
    bench.say("Darkroom: pipelines of digits")
    with stack.running(bench, DIGITS, pipelines_case.OTHER, pipelines_case.BOXES, appendfsync="everysec") as running:
        found.piped = pipelines_case.measure(bench, running, subjects[DIGITS])


def traces(bench: Workbench, subjects: dict[str, Subject], found: Found) -> None:
    """Compare what a job costs with traces and without."""
    bench.say("Darkroom: digits with traces, off, of every request and of one in a hundred")
    found.traced = traces_case.measure(bench, subjects[DIGITS], images=bench.amounts.digits)


CASES: dict[str, tuple[Case, set[str]]] = {
    "bare": (bare_loops, set()),
    "tutorial": (tutorials, set()),
    "digits": (digits, {DIGITS}),
    "always": (always, {DIGITS}),
    "depth": (depth, {DIGITS}),
    "growth": (growth, {DIGITS}),
    "bulk": (bulk, {DIGITS}),
    "bulk-memory": (bulk_memory, {DIGITS}),
    "bulk-beside": (bulk_beside, {DIGITS}),
    "webhooks": (webhooks, {DIGITS}),
    "mobilenet": (mobilenet, {MOBILENET}),
    "flood": (flood, {MOBILENET}),
    "retention": (retention, {DIGITS}),
    "stall": (stall, {DIGITS}),
    "swap": (swap, {DIGITS, MOBILENET}),
    "models": (models, {DIGITS}),
    "shadow": (shadow, {DIGITS, MOBILENET}),
    "report": (report, {DIGITS}),
    "pipelines": (pipelines, {DIGITS}),
    "traces": (traces, {DIGITS}),
}
"""Each case by name, with the subjects it needs (an empty set: those that others need), in the order they run."""
