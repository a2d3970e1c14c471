"""`python -m benchmarks.peers [--only NAME] [--work MODEL] [--rounds N] [--json FILE]`: Darkroom beside its peers.

Same images, model, cores, torch, batch size and client for all; each system's answers are the bare loop's classes. The
systems take turns, a round after the other, and the middle of the rounds counts. Exit code 1 where one gave no figure.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.amounts import FULL, QUICK
from benchmarks.cases import bare
from benchmarks.figures import machine, report
from benchmarks.figures.report import Figure, Section, written
from benchmarks.gpu import registration, subjects
from benchmarks.order_statistics import middle
from benchmarks.peers.measuring import (
    SUBMITTED,
    SUBMITTED_COST,
    Load,
    Measured,
    measure_darkroom,
    measure_peer,
    measure_queue,
)
from benchmarks.peers.peers import PEERS, Peer
from benchmarks.peers.systems.given import Given
from benchmarks.stack.servers import NotReady, free_port
from benchmarks.workbench import Subject, Workbench

DARKROOM: Final = "darkroom"
_MOBILENET: Final = "mobilenet_v3_small"
_BATCHES: Final = {subjects.DIGITS: 64, _MOBILENET: 16}
"""The batch that costs the bare loop least."""
_WAIT_MS: Final = 5
_LOADS: Final = {
    subjects.DIGITS: Load(images=10_000, warm_up=1_000, single=500),
    _MOBILENET: Load(images=1_500, warm_up=128, single=100),
}
_SMALL_LOADS: Final = {
    subjects.DIGITS: Load(images=400, warm_up=100, single=20),
    _MOBILENET: Load(images=64, warm_up=16, single=5),
}
_REGISTRY: Final = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
_RESULTS: Final = Path("benchmarks/results")


def main() -> int:
    """Measure what is asked for; print a table a model; return the exit code."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - began:5.0f} s] {text}", markup=False, soft_wrap=True)

    described = machine.describe()
    name = f"peers-{datetime.now(UTC).astimezone():%Y-%m-%dT%H-%M-%S}.json"
    file = options.json or _RESULTS / name
    failures: dict[str, str] = {}
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-peers-") as scratch:
        folder = (options.keep or Path(scratch) / "kept").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        amounts = QUICK if options.quick else FULL
        bench = Workbench(folder=folder, scratch=Path(scratch), amounts=amounts, cores=described["cores"], say=say)
        works = options.work or [subjects.DIGITS, _MOBILENET]
        _prepare(bench, works, quick=options.quick)
        for work in works:
            sections.append(_measure(bench, work, options, failures))
            report.show(console, sections[-1])
            facts: dict[str, Any] = {"quick": options.quick, "rounds": options.rounds, "failures": failures}
            report.save(file, report.as_json(machine=described, settings=facts, sections=sections))
    if described["busy_before_percent"] > 10:
        say(f"{described['busy_before_percent']:.0f}% of the cores were busy before: compare within this run alone")
    for system, why in failures.items():
        say(f"no figure of {system}: {why}")
    say(f"written to {file}")
    return 1 if failures else 0


def _prepare(bench: Workbench, works: list[str], *, quick: bool) -> None:
    """Make the images, and the models as MLflow keeps them."""
    subjects.make_images(bench.folder, photographs=16 if quick else 128, digits=500 if quick else 5_000)
    bench.say(f"registering {', '.join(works)}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.registration", str(bench.folder), *works],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_REGISTRY},
    )
    if done.returncode:
        raise NotReady(f"benchmarks.gpu.registration: {done.stderr[-2000:]}")


def _measure(bench: Workbench, work: str, options: argparse.Namespace, failures: dict[str, str]) -> Section:
    """Measure every system on one kind of work, in turns."""
    load = (_SMALL_LOADS if options.quick else _LOADS)[work]
    distinct = 16 if options.quick else 128
    if work == subjects.DIGITS:
        distinct = 500 if options.quick else 5_000
    subject = Subject(
        name=work,
        model=bench.folder / "models" / work,
        images=subjects.image_file(bench.folder, work),
        distinct=distinct,
    )
    bench.say(f"{work}: the bare loop")
    loop = bare.measure(bench, subject, processes=bench.cores, images=max(load.images, distinct))
    found: dict[str, list[Measured]] = defaultdict(list)
    for number in range(options.rounds):
        for system in options.only or [DARKROOM, *PEERS]:
            bench.say(f"{work}: {system}, round {number + 1} of {options.rounds}")
            try:
                measured = _system(bench, subject, system, load)
            except Exception as error:  # noqa: BLE001  whatever one system does, the next is measured
                failures[f"{system} ({work})"] = f"{type(error).__name__}: {error}"[:1500]
                bench.say(f"  FAILED: {failures[f'{system} ({work})']}")
                continue
            found[system].append(measured)
            cost = ", ".join(f"{role} {written(spent)}" for role, spent in measured.detail.items() if spent >= 0.002)
            bench.say(f"  {measured.images_per_second:,.0f} images/s, {measured.milliseconds:.3f} ms a job [{cost}]")
    figures = [
        Figure(
            name=f"bare loop, processes: {bench.cores}",
            value=loop.images_per_second,
            unit="images/s",
            beside=f"{written(loop.milliseconds)} ms CPU an image, in batches of {loop.batch}; no service around it",
        )
    ]
    figures += [_figure(system, runs) for system, runs in found.items()]
    return Section(title=f"{work}: 64 connections, each waits for its answer", figures=figures)


def _system(bench: Workbench, subject: Subject, system: str, load: Load) -> Measured:
    if system == DARKROOM:
        settings = {**_REGISTRY, "DARKROOM_REGISTRY_URL": registration.registry_url(bench.folder)}
        return measure_darkroom(bench, subject, load, settings=settings)
    given = Given(
        model=str(subject.model),
        port=free_port(),
        batch=_BATCHES[subject.name],
        processes=bench.cores,
        wait_ms=_WAIT_MS,
    )
    peer = PEERS[system]
    if isinstance(peer, Peer):
        return measure_peer(bench, subject, peer, given, load)
    return measure_queue(bench, subject, peer, given, load)


def _figure(system: str, runs: list[Measured]) -> Figure:
    """Return the middle of the rounds, and what the system keeps."""
    title, keeps = ("Darkroom", "every accepted image until its row is in Postgres, where it stays")
    if system != DARKROOM:
        title, keeps = PEERS[system].title, PEERS[system].keeps
    beside = [f"{written(middle(run.milliseconds for run in runs))} ms CPU a job"]
    if all(run.p50 for run in runs):
        beside.append(f"one at a time p50 {written(middle(run.p50 for run in runs))} ms")
        beside.append(f"p99 {written(middle(run.p99 for run in runs))} ms")
    if system == DARKROOM:
        speed, spent = (middle(run.detail[key] for run in runs) for key in (SUBMITTED, SUBMITTED_COST))
        beside.append(f"submitted without waiting {speed:,.0f} images/s, {written(spent)} ms")
    return Figure(
        name=title,
        value=middle(run.images_per_second for run in runs),
        unit="images/s",
        beside=f"{'; '.join(beside)}. Keeps {keeps}",
        detail={
            "runs": [run.images_per_second for run in runs],
            "cpu_ms": [run.milliseconds for run in runs],
            "client_ms": [run.client_milliseconds for run in runs],
            "by_role": [dict(run.detail) for run in runs],
        },
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", action="append", choices=[DARKROOM, *PEERS], help="this system (may be repeated)")
    parser.add_argument("--work", action="append", choices=list(_BATCHES), help="this model (may be repeated)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each system has its turn")
    parser.add_argument("--quick", action="store_true", help="small amounts, to see whether all of it runs")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--keep", type=Path, help="a folder that keeps images and models for the next run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
