"""`python -m benchmarks.gpu [--seconds N] [--only PART] [--quick] [--json FILE]`: one GPU, bare and through Darkroom.

The most wanted first: resnet50 through Darkroom, what the card gives without it, then the other models. Each figure is
printed and saved as soon as it is there, so that a run which is cut off has told what it found; a part that fails says
why, and the next goes on. Without a GPU it measures the CPU. The exit code is 1 where a part failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.amounts import QUICK
from benchmarks.figures import machine
from benchmarks.figures.report import Figure
from benchmarks.gpu import card, registration, serving, subjects
from benchmarks.gpu.ceilings.plan import measure_ceilings, names
from benchmarks.gpu.device_samples import DeviceSamples
from benchmarks.gpu.scale import FULL, SMALL, Scale
from benchmarks.gpu.session import Session
from benchmarks.stack import darkroom
from benchmarks.workbench import Workbench

CEILINGS: Final = "ceilings"
_RESULTS: Final = Path("benchmarks/results")
_REGISTRY_ENVIRONMENT: Final = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


def main() -> int:
    """Measure what is asked for within the time; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way out
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    scale = SMALL if options.quick else FULL
    described = machine.describe() | card.describe()
    settings = {"quick": options.quick, "set": options.set, "torch": described["torch"]}
    name = f"gpu-{datetime.now(UTC).astimezone():%Y-%m-%dT%H-%M-%S}.json"
    file = options.json or _RESULTS / name
    session = Session(console, seconds=options.seconds, file=file, machine=described, settings=settings)
    session.say(f"{described['gpu'] or 'no GPU'}, {described['cores']} cores of {described['processor']}")
    with tempfile.TemporaryDirectory(prefix="darkroom-gpu-") as scratch, DeviceSamples() as samples:
        folder = (options.keep or Path(scratch) / "kept").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Workbench(
            folder=folder,
            scratch=Path(scratch),
            amounts=QUICK,
            cores=described["cores"],
            say=session.say,
        )
        run = Run(session, bench, samples, scale, dict(pair.split("=", 1) for pair in options.set))
        run.everything(options.only or [*scale.models[:1], CEILINGS, *scale.models[1:]])
    session.show()
    session.say(f"written to {file}")
    return 1 if session.failures else 0


class Run:
    """The parts of a run, in order."""

    def __init__(
        self, session: Session, bench: Workbench, samples: DeviceSamples, scale: Scale, settings: dict[str, str]
    ) -> None:
        self._session = session
        self._bench = bench
        self._samples = samples
        self._scale = scale
        self._settings = settings
        self._on_gpu = bool(card.describe()["gpu"])

    def everything(self, parts: Sequence[str]) -> None:
        """Prepare, then measure: the first model alone, the ceilings, then the other models on one stack."""
        models = [part for part in parts if part != CEILINGS]
        self._session.attempt("images", self._make_images, limit=self._scale.start_limit)
        if "images" in self._session.failures:
            return
        alone = 1 if self._scale.first_alone else len(models)
        groups = [group for group in (models[:alone], models[alone:]) if group]
        # All at once, each in a process: the second waits for nothing of the first.
        registering = [self._register(group) for group in groups]
        if groups:
            self._serve(groups[0], registering)
        if CEILINGS in parts:
            self._measure_ceilings(models or list(self._scale.models))
        for group in groups[1:]:
            self._serve(group, [])
        for model in models:
            self._compare(model)

    def _compare(self, model: str) -> None:
        """Add a model's share of what its bare loop does, where both were measured."""
        served = self._session.figure(model, f"{model}: submitted")
        loop = self._session.figure(CEILINGS, f"{model}: bare loop")
        if served is not None and loop is not None:
            share = Figure(
                name=f"{model}:   share of the bare loop",
                value=served.value / loop.value,
                unit="",
                beside=f"its {loop.value:,.0f} images/s",
            )
            self._session.add(model, [share])

    def _make_images(self) -> None:
        subjects.make_images(self._bench.folder, photographs=self._scale.photographs, digits=self._scale.digits)

    def _register(self, models: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process that registers models."""
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.registration", str(self._bench.folder)]
        with (self._bench.folder / "registration.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *models], stdout=log, stderr=log, env={**os.environ, **_REGISTRY_ENVIRONMENT}
            )

    def _serve(self, models: Sequence[str], registering: Sequence["subprocess.Popen[bytes]"]) -> None:
        """Start one stack for these models, measure each, stop it."""
        told, what = self._session, ", ".join(models)
        told.attempt(
            f"registered: {what}", lambda: self._wait_registered(models, registering), limit=self._scale.start_limit
        )
        if f"registered: {what}" in told.failures:
            return
        settings = {
            **_REGISTRY_ENVIRONMENT,
            "DARKROOM_REGISTRY_URL": registration.registry_url(self._bench.folder),
            **self._settings,
        }
        with ExitStack() as running:
            began = time.monotonic()
            stack = told.attempt(
                f"start with {what}",
                lambda: running.enter_context(
                    darkroom.running(
                        self._bench, *models, appendfsync="everysec", settings=settings, limit=self._scale.start_limit
                    )
                ),
                limit=self._scale.start_limit,
            )
            if stack is None:
                return
            took = time.monotonic() - began
            roles = ", ".join(f"{role} {seconds:.1f}" for role, seconds in stack.start.items())
            told.add("start", [Figure(name=f"`up` until ready: {what}", value=took, unit="s", beside=roles)])
            for model in models:
                self._measure(model, stack)

    def _wait_registered(self, models: Sequence[str], registering: Sequence["subprocess.Popen[bytes]"]) -> None:
        """Return when every process that registers has ended: one that still ran would disturb what is measured."""
        for process in registering:
            process.wait()
        for model in models:
            if not registration.classes_file(self._bench.folder, model).exists():
                log = (self._bench.folder / "registration.log").read_text(errors="replace")
                raise RuntimeError(f"{model} was not registered: {log[-1000:]}")

    def _measure(self, model: str, stack: darkroom.Stack) -> None:
        served = serving.Served(
            bench=self._bench,
            stack=stack,
            samples=self._samples,
            model=model,
            images=subjects.image_file(self._bench.folder, model),
            classes=json.loads(registration.classes_file(self._bench.folder, model).read_text()),
            generators=max(1, min(4, self._bench.cores // 4)),
            on_gpu=self._on_gpu,
        )
        told, scale = self._session, self._scale
        speed = told.attempt(
            f"{model}: warm-up", lambda: serving.warm_up(served, images=scale.warm_up), limit=scale.part_limit
        )
        if speed is None:
            return

        def measured(part: str, work: Callable[..., list[Figure]], **amounts: float) -> None:
            found = told.attempt(f"{model}: {part}", lambda: work(served, **amounts), limit=scale.part_limit)
            told.add(model, found or [])

        measured("throughput", serving.throughput, speed=speed, seconds=scale.throughput_seconds)
        measured("one at a time", serving.latency, connections=1, images=scale.single)
        waiting = max(scale.single, round(speed * scale.waiting_seconds))
        measured("64 waiting", serving.latency, connections=64, images=waiting)

    def _measure_ceilings(self, models: Sequence[str]) -> None:
        wanted = names(models, gpu=self._on_gpu)
        limit = min(self._scale.ceilings_limit, self._session.left() - 5)
        self._session.attempt(
            CEILINGS,
            lambda: measure_ceilings(
                wanted,
                folder=self._bench.folder,
                seconds=self._scale.ceiling_seconds,
                limit=limit,
                found=lambda _, figure: self._session.add(CEILINGS, [figure]),
                failed=lambda name, why: self._session.fail(f"{CEILINGS} {name}", why),
            ),
            limit=limit + 5,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=450.0, help="time limit of the whole run")
    parser.add_argument(
        "--only", action="append", choices=[*subjects.MODELS, CEILINGS], help="this part, in the order they are named"
    )
    parser.add_argument("--quick", action="store_true", help="small amounts, as the tests run it")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--keep", type=Path, help="a folder that keeps images and models for the next run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of Darkroom not at its default"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
