"""Flavours and tasks together: what is answered is what the model called directly gives for the same input."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.deferred_imports import deferred
from worker.decode.sized_pixels import SizedPixels

from .conftest import IMAGE, LABELS, SIDE, network

torch = deferred("torch")
mlflow = deferred("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]

TOLERANCE = 1e-5
Load = Callable[..., Any]
PLAIN = {"resize_size": [32, 32]}


@pytest.fixture
def pixels() -> list[Any]:
    return list(np.random.default_rng(3).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))


def answers(model: Any, images: list[Any]) -> list[Any]:
    return [json.loads(output) for output in model.predict(images)]


def as_batch(images: list[Any]) -> Any:
    """Return pixels as float32 from 0 to 1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def mask(output: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(output["mask"]))))


# --- numbers


@pytest.mark.parametrize("name", ["sklearn", "xgboost", "xgboost booster", "lightgbm", "lightgbm booster"])
def test_regressors(tmp_path: Path, load: Load, images: Any, batch: Any, name: str) -> None:
    library = pytest.importorskip(name.split(maxsplit=1)[0])
    rows = np.random.default_rng(0).normal(size=(80, 3 * SIDE * SIDE)).astype(np.float32)
    ages = rows[:, 0] * 3 + 40
    flat = batch.flatten(1).numpy()
    if name == "sklearn":
        model = deferred("sklearn.linear_model").Ridge().fit(rows, ages)
    elif name == "xgboost booster":
        model = library.train({"objective": "reg:squarederror"}, library.DMatrix(rows, ages), 3)
    elif name == "lightgbm booster":
        model = library.train({"verbose": -1}, library.Dataset(rows, ages), 3)
    else:
        model = (library.XGBRegressor if name == "xgboost" else library.LGBMRegressor)(n_estimators=3).fit(rows, ages)
    expected = model.predict(library.DMatrix(flat) if name == "xgboost booster" else flat)
    options = {} if "booster" in name or name == "xgboost" else {"serialization_format": "cloudpickle"}
    getattr(mlflow, name.split(maxsplit=1)[0]).save_model(
        model, str(tmp_path / "model"), pip_requirements=["numpy"],
        metadata={"image": IMAGE, "values": {"age": "years"}}, **options,
    )  # fmt: skip
    found = answers(load(tmp_path / "model"), images)
    assert {json.dumps(one["units"]) for one in found} == {'{"age": "years"}'}
    assert np.abs(np.array([one["values"]["age"] for one in found]) - expected).max() <= TOLERANCE * 10


@pytest.mark.parametrize("format", ["pt2", "pickle", "onnx"])
def test_several_heads_by_name(tmp_path: Path, load: Load, images: Any, batch: Any, format: str) -> None:
    class Heads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(6)

        def forward(self, images: Any) -> Any:
            found = self.network(images)
            return {"species": found[:, :4], "vector": found[:, 4:]}

    module = Heads().eval()
    save(tmp_path / "model", module, format, {"image": IMAGE, "task": "embedding", "output": "vector"})
    found = answers(load(tmp_path / "model"), images)
    with torch.inference_mode():
        expected = module(batch)["vector"].numpy()
    assert np.abs(np.array([one["embedding"] for one in found]) - expected).max() <= TOLERANCE


def save(path: Path, module: Any, format: str, metadata: Any) -> None:
    example = torch.zeros(2, 3, SIDE, SIDE)
    if format == "onnx":
        for package in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(package)
        dynamic = ({0: torch.export.Dim("batch")},)
        with torch.inference_mode():
            names = [*module(example)]
        program = torch.onnx.export(
            module, (example,), dynamo=True, dynamic_shapes=dynamic, output_names=names, verbose=False
        )
        mlflow.onnx.save_model(program.model_proto, str(path), metadata=metadata, pip_requirements=["onnxruntime"])
        return
    signature = mlflow.models.infer_signature(example.numpy())
    mlflow.pytorch.save_model(
        module, str(path), metadata=metadata, pip_requirements=["torch"], serialization_format=format,
        input_example=example.numpy(), signature=signature,
    )  # fmt: skip


# --- torchvision


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"])
def test_a_detector_of_torchvision_answers_with_all_of_its_own_rows(tmp_path: Path, load: Load, name: str) -> None:
    """In their order, with their labels and scores, and boxes in the pixels of pictures of other proportions."""
    pixels = list(np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    sizes = [(64, 64), (192, 48), (40, 100)]
    # Multiplied, as the worker does it: a quotient may have another last digit, by which boxes are exchanged.
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() * (1 / 255)
    options = {"box_score_thresh": 0.0, "min_size": 64, "max_size": 64} if name.startswith("faster") else {}
    make = getattr(deferred("torchvision.models.detection"), name)
    torch.manual_seed(0)
    module = with_scores_apart(make(weights=None, weights_backbone=None, num_classes=4, **options), batch)
    mlflow.pytorch.save_model(
        module, str(tmp_path / "model"), pip_requirements=["torch"], serialization_format="pickle",
        metadata={"image": {"resize_size": [64, 64]}, "labels": LABELS, "task": "detection", "threshold": 0.0},
    )  # fmt: skip
    model = load(tmp_path / "model")
    with torch.inference_mode():
        expected = module([*batch])
    images = [SizedPixels(one, size) for one, size in zip(pixels, sizes, strict=True)]
    for found, row, (width, height) in zip(answers(model, images), expected, sizes, strict=True):
        scores, order = row["scores"].sort(descending=True, stable=True)
        kept = order[:100]  # `max_detections`
        assert len(scores[:100].unique()) > 30, "scores that are alike say nothing of the order"
        detections = found["detections"]
        assert [one["label"] for one in detections] == [LABELS[label] for label in row["labels"][kept]]
        assert np.allclose([one["score"] for one in detections], row["scores"][kept], rtol=0, atol=1e-6)
        in_picture = row["boxes"][kept].numpy() * (width / 64, height / 64, width / 64, height / 64)
        assert np.allclose([one["box"] for one in detections], in_picture, rtol=0, atol=0.006)


def with_scores_apart(detector: Any, batch: Any) -> Any:
    """Give a detector of random weights scores that differ from box to box, as a trained one's do.

    As they are made, each layer answers with less than the one before: what comes out hardly depends on the picture,
    all boxes have the same score but for a float's last digits, and which of them comes first is chance.
    """
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of what it sees, in place of a tenth of it
    with torch.no_grad():
        features = [*detector.train().backbone(detector.transform([*batch])[0].tensors).values()]
        if hasattr(detector, "head"):
            detector.head(features)
        for path, weights in detector.named_parameters():
            if weights.ndim > 1 and path.startswith(("head.", "roi_heads.")):
                torch.nn.init.kaiming_normal_(weights)
                if "bbox" in path or "regression" in path:
                    weights.mul_(0.1)  # boxes stay near their anchors
    return detector.eval()


@pytest.mark.parametrize("format", ["pt2", "pickle", "onnx"])
@pytest.mark.parametrize("layout", ["yolov5", "yolov8"])
def test_a_detector_with_a_raw_head(
    tmp_path: Path, load: Load, images: Any, batch: Any, format: str, layout: str
) -> None:
    ops = deferred("torchvision.ops")

    class Raw(torch.nn.Module):
        """Boxes as large as the input at most; of `yolov5` with an objectness."""

        def __init__(self, network: Any, scale: Any) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("scale", scale)

        def forward(self, images: Any) -> Any:
            found = self.network(images).sigmoid().flatten(2) * self.scale
            return {"raw": found if layout == "yolov8" else found.transpose(1, 2), "features": images}

    columns = 4 + (layout == "yolov5") + len(LABELS)
    torch.manual_seed(0)
    scale = torch.tensor([SIDE] * 4 + [1] * (columns - 4)).view(1, -1, 1)
    module = Raw(torch.nn.Conv2d(3, columns, 3), scale).eval()
    about = {"image": IMAGE, "task": "detection", "labels": LABELS, "raw_boxes": layout, "output": "raw"}
    save(tmp_path / "model", module, format, about | {"threshold": 0.2, "iou_threshold": 0.5})
    model = load(tmp_path / "model")
    model.warm_up(3)
    with torch.inference_mode():
        raw = module(batch)["raw"]
    rows = raw if layout == "yolov5" else raw.transpose(1, 2)
    for found, row in zip(answers(model, sized(images, model)), rows, strict=True):
        scores, labels = (row[:, 5:] * row[:, 4:5] if layout == "yolov5" else row[:, 4:]).max(dim=1)
        boxes = ops.box_convert(row[:, :4], "cxcywh", "xyxy")
        kept = [one for one in ops.batched_nms(boxes, scores, labels, 0.5).tolist() if scores[one] >= 0.2]
        assert [one["label"] for one in found["detections"]] == [LABELS[labels[one]] for one in kept]
        expected = boxes[kept].clip(0, SIDE).numpy()
        assert np.abs(np.array([one["box"] for one in found["detections"]]) - expected).max() <= 0.01


def sized(images: list[Any], model: Any) -> list[Any]:
    """Return pixels as they are decoded for a task whose outputs are in those of the original picture."""
    assert model is not None
    return [SizedPixels(image, (image.shape[1], image.shape[0])) for image in images]


def compare_boxes(found: list[Any], expected: list[Any], *, most: int) -> None:
    for one, other in zip(found, expected, strict=True):
        scores, order = torch.as_tensor(other["scores"]).sort(descending=True, stable=True)
        answered = [detection["score"] for detection in one["detections"]]
        assert answered
        assert len(answered) <= most
        boxes = np.clip(torch.as_tensor(other["boxes"])[order].numpy(), 0, 32)
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        assert scores[0] == pytest.approx(answered[0], abs=TOLERANCE)
        nearest = [np.abs(boxes - detection["box"]).max(1).min() for detection in one["detections"]]
        assert max(nearest) <= 0.01  # a coordinate is answered in hundredths of a pixel


# --- transformers


def pipeline(path: Path, task: str, model: Any, processor: Any) -> Any:
    """Save a pipeline as its users do."""
    transformers = pytest.importorskip("transformers")
    made = transformers.pipeline(task, model=model.eval(), image_processor=processor)
    mlflow.transformers.save_model(made, str(path), pip_requirements=["transformers"])
    return path


def test_a_feature_extraction_pipeline_gives_embeddings(tmp_path: Path, load: Load, pixels: Any) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    module, processor = transformers.ViTModel(config), transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    found = answers(load(pipeline(tmp_path / "model", "image-feature-extraction", module, processor)), pixels)
    with torch.inference_mode():
        expected = module(**processor(pixels, return_tensors="pt")).pooler_output.numpy()
    assert np.abs(np.array([one["embedding"] for one in found]) - expected).max() <= TOLERANCE


def test_a_segmentation_pipeline_gives_masks(tmp_path: Path, load: Load, pixels: Any) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8] * 4, decoder_hidden_size=8, num_attention_heads=[1, 2, 4, 8],
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)},
    )  # fmt: skip
    module = transformers.SegformerForSemanticSegmentation(config)
    processor = transformers.SegformerImageProcessor(size={"height": 32, "width": 32})
    model = load(pipeline(tmp_path / "model", "image-segmentation", module, processor))
    found = answers(model, sized(pixels, model))
    with torch.inference_mode():
        outputs = module(**processor(pixels, return_tensors="pt"))
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=[(32, 32)] * 5)
    for one, other in zip(found, expected, strict=True):
        assert (mask(one) == other.numpy()).mean() > 0.999  # two classes may score the same


def test_a_detection_pipeline_gives_boxes(tmp_path: Path, load: Load, pixels: Any) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[32, 32],
        patch_size=8, num_detection_tokens=6,
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)},
    )  # fmt: skip
    module = transformers.YolosForObjectDetection(config)
    processor = transformers.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 32})
    model = load(pipeline(tmp_path / "model", "object-detection", module, processor), threshold="0", max_detections="4")
    assert model.warnings[0] == "the preset leaves the input's size open: images are resized to 32x32"
    found = answers(model, sized(pixels, model))
    with torch.inference_mode():
        outputs = module(**processor(pixels, return_tensors="pt"))
    expected = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=[(32, 32)] * 5)
    compare_boxes(found, expected, most=4)
