"""NudeNet's YOLO, added as the guide adds it, finds what NudeNet's own code finds in the same pictures.

The pictures show objects, clothed people and skies; what the detector takes them for does not matter here.
"""

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.settings import Registry
from tests.support.deferred_imports import deferred
from tests.support.documents import ROOT

from .test_models_add import darkroom

nudenet = pytest.importorskip("nudenet.nudenet")
loading = deferred("worker.models.loading")
preprocessing = deferred("worker.decode.preprocessing")
mlflow = deferred("mlflow")

PHOTOGRAPHS = ROOT / "worker" / "models" / "photographs"
SIDE = 320


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The version that the guide's command registers, loaded as a worker loads it."""
    folder = tmp_path_factory.mktemp("nudenet")
    (folder / "labels.txt").write_text("\n".join(nudenet.__dict__["__labels"]))
    guide = (ROOT / "docs" / "guides" / "models" / "frameworks.md").read_text()
    found = re.search(r"^\$ darkroom models (add nudenet .*)$", guide, re.MULTILINE)
    assert found is not None
    files = {"320n.onnx": Path(nudenet.__file__).with_name("320n.onnx"), "labels.txt": folder / "labels.txt"}
    darkroom(folder, *(str(files.get(word, word)) for word in shlex.split(found[1])))
    store = Registry(url=f"sqlite:///{folder}/registry.db")
    model = loading.load("models:/nudenet/1", registry=store, device="cpu", threads=1, max_pixels=50_000_000)
    model.warm_up(8)
    return model


def png(name: str, size: tuple[int, int] | None) -> bytes:
    image, file = Image.open(PHOTOGRAPHS / name).convert("RGB"), io.BytesIO()
    (image if size is None else image.resize(size)).save(file, "PNG")
    return file.getvalue()


def ours(model: Any, pictures: list[bytes]) -> list[list[tuple[str, float, Any]]]:
    images = [preprocessing.decode_sized(picture, model.spec, max_pixels=50_000_000) for picture in pictures]
    return [
        [(one["label"], one["score"], np.array(one["box"])) for one in json.loads(output)["detections"]]
        for output in model.predict(images)
    ]


def theirs(pictures: list[bytes]) -> list[list[tuple[str, float, Any]]]:
    detector = nudenet.NudeDetector()
    found = [detector.detect(picture) for picture in pictures]
    return [
        [
            (one["class"], one["score"], np.array([*one["box"][:2], *np.add(one["box"][:2], one["box"][2:])]))
            for one in sorted(detections, key=lambda one: -one["score"])
        ]
        for detections in found
    ]


SIZES = [(SIDE, side) for side in range(160, SIDE + 1, 20)] + [(side, SIDE) for side in range(160, SIDE, 20)]
"""Whose longer side is the input's: both resize nothing, so the scores are the same but for rounding."""


def test_what_is_found_is_what_nudenet_finds(model: Any) -> None:
    pictures = [png(file.name, SIZES[place]) for place, file in enumerate(sorted(PHOTOGRAPHS.glob("*.jpg")))]
    pictures += [png("photographer.jpg", size) for size in SIZES]
    compared = 0
    for mine, other in zip(ours(model, pictures), theirs(pictures), strict=True):
        # Where two labels fit one place NudeNet keeps the better one.
        left = [one for one in mine if not any(far(one, better) < 0.05 for better in mine if better[1] > one[1])]
        assert [label for label, _, _ in left] == [label for label, _, _ in other]
        for (_, score, box), (_, expected, whole) in zip(left, other, strict=True):
            assert score == pytest.approx(expected, abs=1e-4)
            assert np.abs(box - whole).max() <= 2  # theirs are cut to whole pixels, corner and size each
            compared += 1
    assert compared >= 10


def far(one: tuple[str, float, Any], other: tuple[str, float, Any]) -> float:
    """Return the largest distance of two boxes' sides, as a share of the input."""
    return float(np.abs(one[2] - other[2]).max() / SIDE)


def test_boxes_are_those_of_a_large_picture(model: Any) -> None:
    """OpenCV resizes without a filter, so scores differ; the places are the same."""
    picture = png("photographer.jpg", (1600, 1200))
    [mine], [other] = ours(model, [picture]), theirs([picture])
    assert mine[0][0] == other[0][0] == "FACE_MALE"
    assert mine[0][1] == pytest.approx(other[0][1], abs=0.15)
    assert np.abs(mine[0][2] - other[0][2]).max() <= 16
