"""`python -m benchmarks.gpu.checks [--seconds N] [--out FOLDER] [--only STEP] [--quick]`: a GPU machine's few minutes.

Where a machine is lent for minutes, all that only it can tell, the most wanted first: the tests that need a GPU,
resnet50 through Darkroom with its agreement and its start, where the time to load a version goes, what the card gives
without Darkroom, the other models, and models that make room for each other. Each step is a process with a time limit
of its own. What it prints is shown at once, and `checks.json` is written anew after each: a run that is cut off has
told what it found. The exit code is 1 where a step failed or was ended.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.subjects import DIGITS, MODELS

_GRACE: Final = 12.0
"""Seconds from SIGTERM to SIGKILL: a benchmark stops its stack meanwhile."""
_LEAST: Final = 10.0
"""Seconds; a step is not begun with less."""
_REMEMBERED: Final = 40
"""Lines of each step's output in `checks.json`."""
_FACTS: Final = """
import platform, torch, torchvision
print(platform.python_version(), "torch", torch.__version__, "torchvision", torchvision.__version__)
print("GPU:", torch.cuda.is_available() and torch.cuda.get_device_name())
try:
    import torchcodec
    from torchcodec.decoders import decode_jpeg
    print("torchcodec", torchcodec.__version__)
except Exception as error:
    print("no torchcodec:", error)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process, and how many seconds it may take."""

    name: str
    command: Sequence[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)


def steps(out: Path, *, kept: Path, quick: bool) -> list[Step]:
    """Return all steps, the most wanted first; what they write goes to `out`, what they share is in `kept`."""
    python = (sys.executable, "-W", "ignore")
    headline, *others = ("mobilenet_v3_small", DIGITS) if quick else MODELS

    def bench(name: str, *parts: str, limit: float, settings: Sequence[str] = ()) -> Step:
        words = [word for part in parts for word in ("--only", part)]
        words += [word for setting in settings for word in ("--set", setting)]
        amounts = ("--quick",) if quick else ()
        seconds = str(limit - _GRACE)
        where = ("--keep", str(kept), "--json", str(out / f"{name}.json"))
        return Step(
            name=name,
            command=(*python, "-m", "benchmarks.gpu", "--seconds", seconds, *where, *amounts, *words),
            limit=limit,
        )

    registry = {"DARKROOM_REGISTRY_URL": (kept / "registry").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    profiled = f"{sys.executable} -W ignore -m cProfile -s cumulative -m worker.models.check models:/{headline}/1"
    tests = ("-m", "pytest", "tests/gpu", "-v", "--tb=short", "--timeout", "60", "-p", "no:cacheprovider")
    return [
        Step(name="facts", command=(*python, "-c", _FACTS), limit=60),
        Step(name="tests", command=(sys.executable, *tests, f"--junit-xml={out / 'tests.xml'}"), limit=150),
        bench("headline", headline, limit=300 if quick else 170),
        # Where the seconds from a worker's start to its first image go.
        Step(name="loading", command=("bash", "-c", f"{profiled} | head -n 90"), limit=90, environment=registry),
        bench("ceilings", "ceilings", limit=120),
        bench("others", *others, limit=300 if quick else 150),
        bench("room", *others, limit=300 if quick else 120, settings=("DARKROOM_PREDICT_MEMORY=30000000",)),
    ]


class Checks:
    """Runs steps within the time, and keeps what they said."""

    def __init__(self, *, seconds: float, out: Path) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._file = out / "checks.json"
        self.results: list[dict[str, Any]] = []

    def run(self, step: Step) -> None:
        """Run one step to its end or its limit; one for which there is no time left is noted as not begun."""
        left = self._seconds - (time.monotonic() - self._began)
        result: dict[str, Any] = {"step": step.name, "code": None, "seconds": 0.0, "why": "not begun", "said": []}
        self.results.append(result)
        if left >= _LEAST:
            self._say(f"== {step.name}, at most {min(step.limit, left):.0f} s")
            began = time.monotonic()
            result["why"] = "running"
            self._save()
            said: deque[str] = deque(maxlen=_REMEMBERED)
            try:
                result["code"], result["why"] = self._finished(step, min(step.limit, left), said)
            finally:
                result |= {"seconds": round(time.monotonic() - began, 1), "said": [*said]}
                self._save()
        else:
            self._save()
        self._say(f"== {step.name}: {result['why']} after {result['seconds']} s, exit code {result['code']}")

    def _finished(self, step: Step, limit: float, said: "deque[str]") -> tuple[int | None, str]:
        process = subprocess.Popen(
            step.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **step.environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(process, said), daemon=True)
        reader.start()
        try:
            return process.wait(limit), "ended"
        except subprocess.TimeoutExpired:
            return None, "ended by its limit"
        finally:
            _end(process)
            reader.join(2)  # a process that it left behind may still hold the pipe

    def _read(self, process: "subprocess.Popen[str]", said: "deque[str]") -> None:
        assert process.stdout is not None  # noqa: S101  Popen was asked for a pipe
        with process.stdout:
            for line in process.stdout:
                said.append(line.rstrip())
                self._say(said[-1])

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f}] {text}", flush=True)

    def _save(self) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        part.replace(self._file)


def _end(process: "subprocess.Popen[str]") -> None:
    """End a step with everything that it started in its session."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if number is signal.SIGTERM:
            time.sleep(0.2)  # for those that it started, before they are killed


def main() -> int:
    """Run the steps that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.checks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=690.0, help="time limit of the whole run")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder for what is found")
    parser.add_argument("--keep", type=Path, help="folder of images and models, kept for the next run")
    parser.add_argument("--quick", action="store_true", help="small amounts, to try it without a GPU")
    parser.add_argument("--only", action="append", help="this step; repeat it for more")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the step that runs is ended on the way out
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    kept = (options.keep or out / "kept").resolve()
    known = steps(out, kept=kept, quick=options.quick)
    if unknown := set(options.only or ()) - {step.name for step in known}:
        parser.error(f"no step {', '.join(sorted(unknown))}: there are {', '.join(step.name for step in known)}")
    checks = Checks(seconds=options.seconds, out=out)
    for step in known:
        if options.only is None or step.name in options.only:
            checks.run(step)
    return 0 if all(result["code"] == 0 for result in checks.results) else 1


if __name__ == "__main__":
    sys.exit(main())
