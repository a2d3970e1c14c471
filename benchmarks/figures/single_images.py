"""The figures of single images, digits and photographs: throughput, latency, cost, beside the loop and the tutorial."""

from benchmarks.cases.found import Found
from benchmarks.cases.single_images import Waiting
from benchmarks.figures.report import Figure, Goal, Section, written
from benchmarks.figures.throughput import beside_loops, cost_figure
from benchmarks.measuring.predictions import Throughput
from benchmarks.workbench import DIGITS, MOBILENET

_SPEED = {"everysec": 3000.0, "always": 2200.0}
_TITLES = {
    DIGITS: "digits: a small CNN, 32x32 PNGs of 1.6 KB",
    MOBILENET: "mobilenet_v3_small at 224x224, 640x427 JPEGs of 53 KB",
}


def sections(found: Found) -> list[Section]:
    """Return what was found of both subjects, one image a request."""
    return [
        Section(title=_TITLES[DIGITS], figures=[*_compared(found, DIGITS), *_digits(found)]),
        Section(title=_TITLES[MOBILENET], figures=[*_compared(found, MOBILENET), *_mobilenet(found)]),
    ]


def _compared(found: Found, subject: str) -> list[Figure]:
    """Return what Darkroom is compared with."""
    figures = []
    for (name, processes), loop in found.loops.items():
        if name == subject:
            figures.append(
                Figure(
                    name=f"bare loop, processes: {processes}",
                    value=loop.images_per_second,
                    unit="images/s",
                    beside=f"{written(loop.milliseconds)} ms CPU an image, in batches of {loop.batch}",
                    detail={"cores_busy": loop.images_per_second * loop.milliseconds / 1000},
                )
            )
    fast = found.fast_loops.get(subject)
    if fast is not None:
        figures.append(
            Figure(
                name="bare loop, a process a core, decoding with torchvision",
                value=fast.images_per_second,
                unit="images/s",
                beside=f"{written(fast.milliseconds)} ms CPU an image, in batches of {fast.batch}",
            )
        )
    tutorial = found.tutorials.get(subject)
    if tutorial is not None:
        cost = sum(tutorial.milliseconds.values())
        figures += [
            Figure(
                name="tutorial, last result in the backend",
                value=tutorial.flood,
                unit="images/s",
                beside=f"{written(cost)} ms CPU a job",
                detail={"cpu_ms_by_role": tutorial.milliseconds},
            ),
            Figure(name="tutorial, clients polling", value=tutorial.polled, unit="images/s"),
        ]
    return figures


def _digits(found: Found) -> list[Figure]:
    figures = []
    for appendfsync, goal in _SPEED.items():
        throughput = found.throughputs.get((DIGITS, appendfsync))
        if throughput is not None:
            figures += _throughput(found, throughput, appendfsync=appendfsync, goal=goal)
        if appendfsync in found.singles:
            figures += _latency(found.singles[appendfsync], appendfsync=appendfsync)
        if appendfsync in found.crowds:
            figures.append(_crowd(found.crowds[appendfsync], appendfsync=appendfsync))
    return figures


def _throughput(found: Found, throughput: Throughput, *, appendfsync: str, goal: float) -> list[Figure]:
    """Throughput, its ratio to the tutorial's, and what a job costs."""
    headline = appendfsync == "everysec"
    figures = [
        Figure(
            name=f"Darkroom, {appendfsync}, submit to last row",
            value=throughput.images_per_second,
            unit="images/s",
            beside=beside_loops(found, DIGITS, throughput),
            goal=Goal(at_least=goal),
            detail={"runs": throughput.runs},
        )
    ]
    tutorial = found.tutorials.get(DIGITS)
    if tutorial is not None:
        best = max(tutorial.flood, tutorial.polled)
        figures.append(
            Figure(
                name="  times the tutorial",
                value=throughput.images_per_second / best,
                unit="x",
                beside=f"its {written(best)} images/s",
                goal=Goal(at_least=9.0) if headline else None,
            )
        )
    figures.append(cost_figure(found, throughput, DIGITS, goal=Goal(at_most=0.50) if headline else None))
    figures += _beside_loop(found, throughput, headline=headline)
    return figures


def _beside_loop(found: Found, throughput: Throughput, *, headline: bool) -> list[Figure]:
    """Processor time a job as a multiple of the bare loop's: of the predict workers, and of all processes."""
    loops = [loop for (name, _), loop in found.loops.items() if name == DIGITS]
    if not loops:
        return []
    least = min(loop.milliseconds for loop in loops)
    beside = f"the bare loop's {written(least)} ms CPU an image"
    spent = {"predict": throughput.milliseconds["predict"], "all": throughput.total_milliseconds}
    goals = {"predict": Goal(at_most=1.2), "all": Goal(at_most=2.4)}
    return [
        Figure(
            name=f"  CPU a job beside the bare loop's, {role}",
            value=milliseconds / least,
            unit="x",
            beside=beside,
            goal=goals[role] if headline else None,
        )
        for role, milliseconds in spent.items()
    ]


def _latency(single: Waiting, *, appendfsync: str) -> list[Figure]:
    headline = appendfsync == "everysec"
    beside = f"{written(single.requests_per_second)} requests/s, one at a time"
    return [
        Figure(
            name=f"Darkroom, {appendfsync}, submit to result, p50",
            value=single.p50,
            unit="ms",
            beside=beside,
            goal=Goal(at_most=2.2) if headline else None,
            detail={"runs": single.runs},
        ),
        Figure(
            name=f"Darkroom, {appendfsync}, submit to result, p99",
            value=single.p99,
            unit="ms",
            beside=beside,
            goal=Goal(at_most=4.5) if headline else None,
        ),
    ]


def _crowd(crowd: Waiting, *, appendfsync: str) -> Figure:
    return Figure(
        name=f"Darkroom, {appendfsync}, Prefer: wait, 64 at a time",
        value=crowd.requests_per_second,
        unit="requests/s",
        beside=f"p50 {written(crowd.p50)} ms, p99 {written(crowd.p99)} ms",
        goal=Goal(at_least=2000.0) if appendfsync == "everysec" else None,
        detail={"runs": crowd.runs},
    )


def _mobilenet(found: Found) -> list[Figure]:
    throughput = found.throughputs.get((MOBILENET, "everysec"))
    if throughput is None:
        return []
    figures = [
        Figure(
            name="Darkroom, everysec, submit to last row",
            value=throughput.images_per_second,
            unit="images/s",
            beside=beside_loops(found, MOBILENET, throughput),
            detail={"runs": throughput.runs},
        )
    ]
    loops = {processes: loop for (name, processes), loop in found.loops.items() if name == MOBILENET}
    if loops:
        processes, loop = max(loops.items())
        figures.append(
            Figure(
                name="  share of the bare loop",
                value=throughput.images_per_second / loop.images_per_second,
                unit="",
                beside=f"its {written(loop.images_per_second)} images/s with {processes} processes, nothing beside it",
                goal=Goal(at_least=0.95),
            )
        )
    figures.append(cost_figure(found, throughput, MOBILENET, goal=None))
    return figures
