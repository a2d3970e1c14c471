import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_the_gpu_benchmark_runs_without_a_gpu(tmp_path: Path, short_directory) -> None:  # noqa: ANN001
    report = tmp_path / "report.json"
    run = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--seconds", "900", "--json", str(report)]
    run += ["--keep", str(short_directory())]
    environment = os.environ | {"DARKROOM_LOCAL_PREDICT_WORKERS": "1"}  # as on one GPU, not one a core
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=950, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
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
