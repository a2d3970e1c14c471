"""The steps of a GPU machine's few minutes: one that fails or hangs costs its own time, and what was said is kept."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu import checks
from benchmarks.gpu.checks import Checks, Step, steps


def python(name: str, code: str, *, limit: float = 30) -> Step:
    return Step(name=name, command=(sys.executable, "-c", code), limit=limit)


def read(out: Path) -> dict[str, dict[str, object]]:
    return {one["step"]: one for one in json.loads((out / "checks.json").read_text(encoding="utf-8"))}


def test_a_step_that_fails_or_hangs_keeps_no_other_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_GRACE", 0.5)
    hangs = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    one = Checks(seconds=100, out=tmp_path)
    for step in (
        python("fails", "raise SystemExit('no')"),
        python("hangs", hangs, limit=3),
        python("works", "print(7)"),
    ):
        one.run(step)
    found = read(tmp_path)
    assert [found[name]["code"] for name in ("fails", "hangs", "works")] == [1, None, 0]
    assert found["fails"]["said"] == ["no"]
    assert found["hangs"]["why"] == "ended by its limit"
    [child] = found["hangs"]["said"]  # type: ignore[misc]
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE
    assert found["works"]["said"] == ["7"]


def test_a_step_without_time_is_not_begun(tmp_path: Path) -> None:
    one = Checks(seconds=1, out=tmp_path)
    one.run(python("late", "print(1)"))
    assert read(tmp_path)["late"]["why"] == "not begun"


def test_a_run_that_is_killed_has_told_what_it_found(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from benchmarks.gpu.checks import Checks, Step
one = Checks(seconds=100, out=Path({str(tmp_path)!r}))
one.run(Step(name="first", command=(sys.executable, "-c", "print(1)"), limit=30))
one.run(Step(name="second", command=(sys.executable, "-c", "import time; print('in it'); time.sleep(600)"), limit=90))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout or ())
        while "in it" not in next(lines):
            pass
        [step] = psutil.Process(process.pid).children()
        process.kill()
        step.kill()  # of a session of its own, which the end of the run does not reach
    found = read(tmp_path)
    assert found["first"]["said"] == ["1"]
    assert found["second"]["why"] == "running"


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_the_steps_fit_twelve_minutes_and_name_what_there_is(tmp_path: Path, quick: bool) -> None:  # noqa: FBT001
    found = steps(tmp_path, kept=tmp_path / "kept", quick=quick)
    assert [step.name for step in found[:3]] == ["facts", "tests", "headline"]
    needed = [step.limit for step in found if step.name not in ("room", "loading")]
    assert quick or sum(needed) <= 690
    for step in found:
        if "benchmarks.gpu" in step.command:
            [*before, seconds] = step.command[: step.command.index("--seconds") + 2]
            assert before[-1] == "--seconds"
            assert 0 < float(seconds) < step.limit
