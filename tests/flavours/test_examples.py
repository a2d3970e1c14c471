"""The scripts of examples/, each against the running stack: what they register answers about a picture."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.documents import ROOT
from tests.support.ports import free_port
from tests.support.stack import Stack

PHOTOGRAPHS = ROOT / "worker" / "models" / "photographs"
CATS = ("tabby", "tiger cat", "Egyptian cat")
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("home"), port=free_port())
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def run(stack: Stack, script: str) -> None:
    login = stack.registry_environment
    environment = stack.environment | login | {"MLFLOW_TRACKING_URI": login["DARKROOM_REGISTRY_URL"]}
    command = [sys.executable, "-W", "ignore", ROOT / "examples" / script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def predicted(stack: Stack, model: str, picture: bytes) -> Any:
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=60) as http:
        answer = http.post(
            "/v1/predictions", files={"image": ("a.jpg", picture)}, data={"model": model}, headers={"Prefer": "wait=30"}
        )
    assert answer.json()["status"] == "succeeded", answer.text
    return answer.json()["output"]


def test_classification(stack: Stack) -> None:
    run(stack, "classification.py")
    output = predicted(stack, "lite0", (PHOTOGRAPHS / "cat.jpg").read_bytes())
    assert output["predicted_class"] in CATS
    assert len(output["probabilities"]) == 5


def test_embedding(stack: Stack) -> None:
    run(stack, "embedding.py")
    vectors = []
    for name in ("cat", "raccoon", "rocket"):
        output = predicted(stack, "lite0-features", (PHOTOGRAPHS / f"{name}.jpg").read_bytes())
        assert output["dimensions"] == 1280
        vectors.append(np.frombuffer(base64.b64decode(output["embedding_base64"]), "<f4"))
        assert np.linalg.norm(vectors[-1]) == pytest.approx(1, abs=1e-5)
    cat, raccoon, rocket = vectors
    assert cat @ raccoon > cat @ rocket


def test_detection(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(stack, "detection.py")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from text_picture import LINES, drawn  # noqa: PLC0415  it is no package

    picture = drawn(tmp_path)
    found = predicted(stack, "text", picture.read_bytes())["detections"]
    assert len(found) == len(LINES)
    ink = np.asarray(Image.open(picture).convert("L")) < 128
    for detection, top in zip(sorted(found, key=lambda one: one["box"][1]), (80, 240, 400), strict=True):
        rows, columns = np.nonzero(ink[top : top + 100])
        line = [columns.min(), top + rows.min(), columns.max(), top + rows.max()]
        assert detection["label"] == "text"
        assert np.abs(np.array(detection["box"]) - line).max() < 20


def test_pipelines(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False) as http:
        for script, model in (("classification", "lite0"), ("embedding", "lite0-features"), ("detection", "text")):
            if http.get(f"/v1/models/{model}").is_error:  # else the tests above have run it
                run(stack, f"{script}.py")
    run(stack, "pipelines.py")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from text_picture import LINES, drawn  # noqa: PLC0415  it is no package

    cat = predicted(stack, "cat-features", (PHOTOGRAPHS / "cat.jpg").read_bytes())
    rocket = predicted(stack, "cat-features", (PHOTOGRAPHS / "rocket.jpg").read_bytes())
    assert cat["dimensions"] == 1280
    assert cat["pipeline"]["steps"][0]["output"]["predicted_class"] in CATS
    assert "dimensions" not in rocket
    assert rocket["pipeline"]["steps"][1]["results"] == []
    lines = predicted(stack, "line-features", drawn(tmp_path).read_bytes())
    results = lines["pipeline"]["steps"][1]["results"]
    assert len(results) == len(lines["detections"]) == len(LINES)
    assert {result["output"]["dimensions"] for result in results} == {1280}
