"""`darkroom models add`, on a real MLflow registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.models.add import Wanted, add, read_labels
from cli.terminal.refused import Refused
from tests.support.deferred_imports import deferred

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

torch = deferred("torch")
torchvision_models = deferred("torchvision.models")
# MLflow warns of its own type hints while it is imported.
pytestmark = [pytest.mark.xdist_group("torch"), pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]


@pytest.fixture
def store(mlflow_store: "MlflowStore", monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "MlflowStore":
    """A registry that the command uses; `labels.txt` is in the folder."""
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", mlflow_store.url)
    monkeypatch.chdir(tmp_path)
    Path("labels.txt").write_text("cat\ndog\n\nowl\n")
    return mlflow_store


def wanted(**given: Any) -> Wanted:
    nothing = dict.fromkeys(
        (
            "torchvision",
            "timm",
            "onnx",
            "weights",
            "labels",
            "task",
            "size",
            "pad",
            "fill",
            "mode",
            "raw_boxes",
            "threshold",
        )
    )
    return Wanted(**{**nothing, "random": False, **given})  # type: ignore[arg-type]


def metadata_of(store: "MlflowStore", version: int) -> Any:
    from mlflow.models import Model  # noqa: PLC0415

    source = store.client.get_model_version("pets", str(version)).source
    return Model.load(source)


# Its export is half of shufflenet's three seconds.
SMALL = "squeezenet1_1"


@pytest.mark.slow
def test_an_architecture_of_torchvision_is_registered_with_the_user_s_weights_and_labels(
    store: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = getattr(torchvision_models, SMALL)(num_classes=3)
    parallel = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": parallel}, "best.pth")
    options = {"torchvision": SMALL, "weights": Path("best.pth"), "labels": Path("labels.txt")}
    add(tmp_path, "pets", wanted(**options))
    told = capsys.readouterr().out.splitlines()[-3:]  # a slow machine says before that it goes on
    assert told[0].startswith("Registered version 1 of pets: classification, 3 labels, image {")
    assert told[1].startswith("Try it: ")
    assert "models check pets:1" in told[1]
    assert "models promote pets 1" in told[2]
    logged = metadata_of(store, 1)
    assert logged.metadata["labels"] == ["cat", "dog", "owl"]
    assert logged.metadata["image"]["crop_size"] == [224]
    assert logged.metadata["task"] == "classification"
    assert store.client.get_registered_model("pets").aliases == {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "Say what to add, once: --torchvision NAME, --timm NAME or --onnx FILE."),
        ({"torchvision": "resnet50", "timm": "resnet50"}, "Say what to add, once"),
        ({"torchvision": "resnet50"}, "Say which weights: --weights FILE, or --random"),
        ({"torchvision": "resnet5", "random": True}, "torchvision has no model 'resnet5'. It has: resnet50"),
        ({"torchvision": "resnet50", "weights": Path("none.pth")}, "none.pth is not a file."),
        ({"torchvision": "resnet50", "random": True, "labels": Path("empty.txt")}, "empty.txt has no labels"),
        ({"torchvision": "squeezenet1_1", "weights": Path("two.pth")}, "two.pth does not fit: Error(s) in loading"),
        ({"torchvision": "squeezenet1_1", "weights": Path("whole.pth")}, "whole.pth holds more than tensors"),
        ({"torchvision": "squeezenet1_1", "weights": Path("empty.txt")}, "empty.txt is no file of weights"),
        ({"torchvision": "squeezenet1_1", "weights": Path("labels.txt")}, "labels.txt is no file of weights"),
        ({"torchvision": "squeezenet1_1", "weights": Path("words.txt")}, "words.txt is no file of weights"),
        ({"torchvision": "squeezenet1_1", "weights": Path("cut.pth")}, "cut.pth has no weights that can be read: "),
        ({"torchvision": "squeezenet1_1", "weights": Path("tensor.pth")}, "tensor.pth has no weights with names"),
        ({"torchvision": "squeezenet1_1", "random": True, "threshold": 0.3},
         "--threshold means nothing for the task classification: it is of multilabel, detection, segmentation."),
        ({"torchvision": "squeezenet1_1", "random": True, "raw_boxes": "yolov8"}, "--raw-boxes means nothing for"),
        ({"torchvision": "squeezenet1_1", "random": True, "task": "embedding", "labels": Path("labels.txt")},
         "--labels means nothing for the task embedding"),
        ({"torchvision": "squeezenet1_1", "random": True, "mode": "L"}, "three channels, which --mode L does not give"),
        ({"onnx": Path("graph.onnx"), "random": True}, "An ONNX file has its weights"),
        ({"onnx": Path("graph.onnx"), "weights": Path("two.pth")}, "An ONNX file has its weights"),
        ({"torchvision": "ssdlite320_mobilenet_v3_large", "random": True},
         "the preset leaves the input's size open: say it, as --size 320 or --size 480x640"),
        ({"torchvision": "ssdlite320_mobilenet_v3_large", "weights": Path("two.pth"), "size": "320"},
         "have the background as class 0: it is the first line of --labels."),
        ({"torchvision": "squeezenet1_1", "random": True, "task": "guess"}, "This can't be served: "),
        ({"torchvision": "squeezenet1_1", "random": True, "pad": "end"},
         "This can't be served: pad needs --size HEIGHTxWIDTH"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("store")
def test_what_does_not_fit_is_refused_with_the_reason(tmp_path: Path, given: dict[str, Any], why: str) -> None:
    Path("empty.txt").touch()
    torch.save(torch.nn.Linear(3, 2).state_dict(), "two.pth")
    torch.save(torch.nn.Linear(3, 2), "whole.pth")
    torch.save(torch.zeros(3), "tensor.pth")
    Path("cut.pth").write_bytes(Path("two.pth").read_bytes()[:-100])
    Path("words.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(Refused) as refused:
        add(tmp_path, "pets", wanted(**given))
    assert why in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["", "  ", "zoo/cats", "cats:1"])
def test_a_name_that_the_registry_would_refuse_is_refused_before_anything_is_logged(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="can't be a model's name"):
        add(tmp_path, name, wanted(torchvision="squeezenet1_1", random=True))


@pytest.mark.slow
def test_an_embedding_has_no_labels_and_a_name_may_have_a_quote(
    store: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, "ann's", wanted(torchvision=SMALL, random=True, task="embedding"))
    assert "Registered version 1 of ann's: embedding, image {" in capsys.readouterr().out
    assert [one.name for one in store.client.search_registered_models()] == ["ann's"]


def test_a_file_of_labels_may_begin_with_the_mark_of_windows_editors(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")
    assert read_labels(tmp_path / "labels.txt") == ["cat", "dog"]
