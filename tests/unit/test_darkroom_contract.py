"""The metadata made of presets is what the presets' own libraries do with an image, and what a worker accepts."""

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkroom_contract
from darkroom_contract import contract
from shared.domain.image import ImageSpec, Interpolation, Mode, Pad
from shared.domain.task import Task
from tests.support.deferred_imports import deferred
from worker.decode.preprocessing import decode
from worker.models.metadata import model_metadata
from worker.models.metadata.model_metadata import Activation, Decode, Encoding, ModelMetadata, Precision, RawBoxes

torch = deferred("torch")
models = deferred("torchvision.models")
pytestmark = pytest.mark.xdist_group("torch")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("photograph") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((400, 300), Image.Resampling.BICUBIC).save(path)
    return path.read_bytes()


def input_of(metadata: dict[str, Any], photograph: bytes) -> Any:
    """Return what a worker gives the model: float32 (channels, height, width)."""
    spec = ModelMetadata.from_metadata({"labels": ["any"]} | metadata).spec
    pixels = decode(photograph, spec, max_pixels=10_000_000)
    return (pixels / 255 - np.array(spec.mean)).transpose(2, 0, 1) / np.array(spec.std)[:, None, None]


def opened(tmp_path: Any, photograph: bytes) -> Image.Image:
    path = tmp_path / "photograph.png"
    path.write_bytes(photograph)
    return Image.open(path).convert("RGB")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50_Weights", "MobileNet_V3_Small_Weights", "ViT_B_16_Weights"])
def test_torchvisions_weights_are_followed_to_the_pixel(tmp_path: Any, photograph: bytes, name: str) -> None:
    weights = getattr(models, name).DEFAULT
    metadata = contract(weights)
    assert (metadata["task"], len(metadata["labels"])) == ("classification", 1000)
    expected = weights.transforms()(opened(tmp_path, photograph)).numpy()
    assert np.abs(input_of(metadata, photograph) - expected).max() < 1e-5


@pytest.mark.slow  # imports all of torchvision's detectors
def test_torchvisions_detectors_need_a_size() -> None:
    weights = deferred("torchvision.models.detection").FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.DEFAULT
    with pytest.raises(ValueError, match=r"size=\(height, width\)"):
        contract(weights)
    metadata = contract(weights, size=(320, 480), threshold=0.4)
    assert metadata["image"] == {"resize_size": [320, 480]}
    assert (metadata["task"], metadata["threshold"], metadata["labels"][:2]) == (
        "detection",
        0.4,
        ["__background__", "person"],
    )


def test_a_preset_that_leaves_the_size_open_gets_a_square_and_says_so() -> None:
    weights = deferred("torchvision.models.segmentation").DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT
    with pytest.warns(UserWarning, match=r"resized to 520x520, or name size="):
        metadata = contract(weights)
    assert (metadata["task"], metadata["image"]["resize_size"]) == ("segmentation", [520, 520])


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "test_vit.r160_in1k"])
def test_timms_models_are_followed_to_the_pixel(tmp_path: Any, photograph: bytes, name: str) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model(name)
    metadata = contract(model)
    assert metadata["labels"][0].startswith("tench")
    preset = timm.data.resolve_model_data_config(model)
    expected = timm.data.create_transform(**preset, is_training=False)(opened(tmp_path, photograph)).numpy()
    assert np.abs(input_of(metadata, photograph) - expected).max() < 1e-5


def test_a_fine_tuned_timm_model_needs_its_own_labels() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("mobilenetv3_small_050", num_classes=2)
    with pytest.raises(ValueError, match="needs labels"):
        contract(model)
    assert contract(model, labels=["cat", "dog"])["labels"] == ["cat", "dog"]
    features = timm.create_model("mobilenetv3_small_050", num_classes=0)
    assert contract(features, normalize=True)["task"] == "embedding"


def test_a_timm_model_of_one_channel_gets_grey_images_and_one_of_four_is_refused() -> None:
    timm = pytest.importorskip("timm")
    grey = contract(timm.create_model("test_vit.r160_in1k", in_chans=1), labels=["a"])["image"]
    assert (grey["mode"], grey["mean"], grey["std"]) == ("L", [0.5], [0.5])
    with pytest.raises(ValueError, match="the model takes 4 channels: an image has 3"):
        contract(timm.create_model("test_vit.r160_in1k", in_chans=4), labels=["a"])


def test_a_timm_preset_is_taken_without_timm() -> None:
    preset = {
        "input_size": (3, 240, 240),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "num_classes": 3,
    }
    assert contract(preset, labels=["a", "b", "c"])["image"] == {
        "resize_size": [266],
        "crop_size": [240, 240],
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "mode": "RGB",
    }
    with pytest.raises(ValueError, match="crop_mode 'border'"):
        contract(preset | {"crop_mode": "border"}, labels=["a"])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ViTImageProcessor", {}),
        ("ViTImageProcessor", {"do_normalize": False}),
        ("ViTImageProcessor", {"resample": 0}),
        ("CLIPImageProcessor", {}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
        # 84x63 pixels remain, and seven rows are left over.
        ("BitImageProcessor", {"size": {"shortest_edge": 63}, "crop_size": {"height": 56, "width": 56}}),
        ("ConvNextImageProcessor", {}),
        ("EfficientNetImageProcessor", {}),
        ("EfficientNetImageProcessor", {"rescale_factor": 1 / 127.5, "rescale_offset": True}),
        ("SegformerImageProcessor", {}),
    ],
)
def test_processors_of_transformers_are_followed(
    tmp_path: Any, photograph: bytes, kind: str, options: dict[str, Any]
) -> None:
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processor = getattr(transformers, kind)(**options)
        found = processor(opened(tmp_path, photograph), return_tensors="np")["pixel_values"][0]
    metadata = contract(processor, labels=["any"])
    given = input_of(metadata, photograph)
    assert given.shape == found.shape
    # Theirs resize with torch, Darkroom with Pillow: some pixels differ by a grey level or two.
    assert np.abs(given - found).max() <= 3 / 255 / min(metadata["image"]["std"])


def test_a_model_of_transformers_says_its_labels_and_its_task() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        id2label={0: "cat", 1: "dog"}, architectures=["ViTForImageClassification"], problem_type=None
    )
    metadata = contract(transformers.ViTImageProcessor(), config)
    assert (metadata["task"], metadata["labels"]) == ("classification", ["cat", "dog"])
    config.problem_type = "multi_label_classification"
    assert contract(transformers.ViTImageProcessor(), config)["task"] == "multilabel"
    # Until it is saved a model's config names no architecture.
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    made = transformers.ViTForImageClassification(transformers.ViTConfig(**small, id2label={0: "cat", 1: "dog"}))
    assert (contract(transformers.ViTImageProcessor(), made)["task"], made.config.architectures) == (
        "classification",
        None,
    )
    config.architectures = ["ViTModel"]
    assert "labels" not in contract(transformers.ViTImageProcessor(), config)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": {"crop_size": 8}}, "needs labels"),
        ({"labels": ["a"]}, "size open"),
        ({"labels": ["a"], "image": {"crop": 8}}, "has no crop"),
        ({"labels": ["a"], "image": {"crop_size": 8, "mean": [123.7, 116.3, 103.5]}}, "not of 0 to 255"),
        ({"labels": ["a"], "image": {"crop_size": 8, "mean": [0.5]}}, "3 numbers"),
        ({"labels": ["a"], "image": {"crop_size": 8, "mean": 0.5}}, "3 numbers"),
        ({"labels": ["a"], "image": {"crop_size": 8, "crop_rounding": "up"}}, "crop_rounding is one of nearest, down"),
        ({"labels": ["a"], "image": {"crop_size": 8, "std": [0, 1, 1]}}, "positive"),
        ({"labels": ["a"], "image": {"crop_size": 8, "interpolation": "cubic"}}, "interpolation is one of"),
        ({"labels": ["a"], "image": {"crop_size": 8}, "task": "detect"}, "task is one of"),
        ({"labels": ["a"], "image": {"crop_size": 8}, "precision": "fp8"}, "precision is one of auto, fp32"),
        ({"labels": ["a"], "image": {"crop_size": 8, "mode": "HSV"}}, "mode is one of RGB, BGR, L, not 'HSV'"),
        ({"labels": ["a"], "image": {"crop_size": 8, "pad": "end"}}, "pad needs size="),
        ({"labels": ["a"], "size": (8, 8), "image": {"pad": "start"}}, "pad is one of center, end, not 'start'"),
        ({"labels": ["a"], "size": (8, 8), "image": {"pad": "end", "fill": 300}}, "fill is the grey level"),
        ({"labels": ["a"], "size": (8, 8), "image": {"fill": 114}}, "fill is the grey level of what pad adds"),
        ({"labels": ["a"], "size": (8, 8), "raw_boxes": "yolo"}, "raw_boxes is one of yolov5, yolov8, yolov10"),
        ({"labels": ["a"], "size": (8, 8), "iou_threshold": 45}, "iou_threshold has to be from 0 to 1"),
        ({"labels": ["a"], "image": {"crop_size": 8}, "top_k": 0}, "top_k"),
        ({"labels": ["a"], "image": {"crop_size": 8}, "threshold": 40}, "threshold"),
    ],
)
def test_what_darkroom_would_refuse_is_refused_where_it_is_logged(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        contract(**arguments)


def test_an_object_that_is_no_preset_is_named() -> None:
    with pytest.raises(TypeError, match="no preset in dict"):
        contract({"lr": 0.1}, labels=["a"])


def test_arguments_go_before_the_preset() -> None:
    weights = models.ResNet50_Weights.DEFAULT
    metadata = contract(weights, labels=["cat", "dog"], top_k=2, image={"resize_size": 300}, precision="fp16")
    assert metadata["image"]["resize_size"] == 300
    assert (metadata["labels"], metadata["top_k"], metadata["precision"]) == (["cat", "dog"], 2, "fp16")


def test_the_module_knows_the_workers_words() -> None:
    assert set(darkroom_contract.INTERPOLATIONS) == {str(one) for one in Interpolation}
    spec = ImageSpec.from_metadata({"crop_size": 8})
    assert spec.as_metadata().keys() == darkroom_contract.IMAGE_KEYS
    assert {task for task in Task if task.needs_labels} == darkroom_contract.NEEDS_LABELS
    assert {str(one) for one in Mode} == set(darkroom_contract.MODES)
    assert {str(one) for one in Pad} == set(darkroom_contract.PADS)
    kinds = {"task": Task, "activation": Activation, "encoding": Encoding, "decode": Decode, "precision": Precision}
    kinds |= {"raw_boxes": RawBoxes}
    assert {name: tuple(kind) for name, kind in kinds.items()} == darkroom_contract.CHOICES
    assert inspect.signature(contract).parameters.keys() - {"sources", "size"} == model_metadata._KEYS.keys()
