"""`darkroom models add --timm` and `--onnx`, then `check`: what a worker would say of the version."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PICTURE = Path(__file__).parents[2] / "worker" / "models" / "photographs" / "cat.jpg"


def darkroom(folder: Path, *arguments: str) -> str:
    """Run a command on a registry in the folder and return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "cli.main", "models", *arguments],
        env=os.environ | {"DARKROOM_REGISTRY_URL": f"sqlite:///{folder}/registry.db"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_an_architecture_of_timm_is_added_and_a_worker_would_serve_it(tmp_path: Path) -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    trained = timm.create_model("test_efficientnet", pretrained=False, num_classes=2)
    torch.save(trained.state_dict(), tmp_path / "best.pth")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    files = ("--weights", str(tmp_path / "best.pth"), "--labels", str(tmp_path / "labels.txt"))
    told = darkroom(tmp_path, "add", "pets", "--timm", "test_efficientnet", *files)
    assert "Registered version 1 of pets: classification, 2 labels" in told
    assert "can't be exported" not in told
    told = darkroom(tmp_path, "check", "pets:1", "--image", str(PICTURE))
    assert '"predicted_class":"' in told
    assert "A worker would serve it." in told


def test_an_onnx_file_with_other_weights_beside_it_is_another_version(tmp_path: Path) -> None:
    """torch.onnx.export writes them there: the file itself is the same."""
    pytest.importorskip("onnxscript")
    torch = pytest.importorskip("torch")
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    options = ("--onnx", str(tmp_path / "m.onnx"), "--labels", str(tmp_path / "labels.txt"))
    for weight, told in ((0.0, "Registered version 1"), (1.0, "Registered version 2"), (1.0, "Version 2 of pets is")):
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, weight)
        torch.onnx.export(model, (torch.zeros(1, 3, 32, 32),), tmp_path / "m.onnx", external_data=True)
        assert darkroom(tmp_path, "add", "pets", *options).startswith(told)


@pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("rapidocr") is None, reason="onnx or rapidocr is not installed"
)
def test_a_published_onnx_file_whose_size_is_open_is_added_with_its_size(tmp_path: Path) -> None:
    """Rapidocr's classifier says whether a line of text is upside down; its graph takes any size."""
    spec = find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    [file] = (Path(spec.origin).parent / "models").glob("*cls*.onnx")
    (tmp_path / "labels.txt").write_text("upright\nturned\n")
    options = ("--onnx", str(file), "--size", "48x192", "--labels", str(tmp_path / "labels.txt"))
    assert "'resize_size': [48, 192]" in darkroom(tmp_path, "add", "lines", *options)
    told = darkroom(tmp_path, "check", "lines:1", "--image", str(PICTURE))
    assert '"predicted_class":"' in told
    assert "A worker would serve it." in told
