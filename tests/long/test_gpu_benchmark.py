import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.program_forks import FORKED, ROOT, SOCKET, Forked, Kind, Program, keep_running, run, socket_path

BENCHMARK = """
import runpy, sys
from benchmarks.stack import darkroom
darkroom.COMMAND = (sys.executable, "-m", "tests.support.forked_command")
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""
"""`python -m benchmarks.gpu`, whose stack starts forks."""


@pytest.mark.timeout(1000)
def test_the_gpu_benchmark_runs_without_a_gpu(tmp_path: Path, short_directory: Callable[[], Path]) -> None:
    report = tmp_path / "report.json"
    amounts = ("--quick", "--seconds", "900", "--json", str(report), "--keep", str(short_directory()))
    as_on_one_gpu = ("--set", "DARKROOM_LOCAL_PREDICT_WORKERS=1")  # not one a core
    keep_running(Kind.OTHERS)
    forking = {FORKED: Forked.ALL, SOCKET: str(socket_path()), "PYTHONPATH": str(ROOT)}
    program = Program(BENCHMARK, (*amounts, *as_on_one_gpu), dict(os.environ) | forking, ROOT, is_code=True)
    done = run(program, seconds=950)
    assert done.returncode == 0, done.stdout
    found = orjson.loads(report.read_bytes())
    assert found["settings"]["failures"] == {}
    figures = {s["title"]: {f["name"]: f for f in s["figures"]} for s in found["sections"]}
    assert set(figures) == {"start", "mobilenet_v3_small", "digits_cnn", "ceilings"}
    for model in ("mobilenet_v3_small", "digits_cnn"):
        assert figures[model][f"{model}: submitted one by one, first request to last row"]["value"] > 0
        assert figures[model][f"{model}: submit to result, one at a time, p50"]["value"] > 0
        assert figures[model][f"{model}: submit to result, 64 waiting, p50"]["value"] > 0
        # On a CPU a model is computed exactly: every row has the class that Pillow and fp32 give.
        assert figures[model][f"{model}:   rows with the class of Pillow's pixels in fp32"]["value"] == 100
    assert any(name.startswith("mobilenet_v3_small: bare loop") for name in figures["ceilings"])
    assert any(name.startswith("Pillow") for name in figures["ceilings"])
