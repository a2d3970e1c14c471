"""Every flavour as its users log it: a worker's probabilities are those of the model called directly.

What is not installed is skipped; `make flavours` installs everything.

Over 300 lines: all flavours are compared in one way.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError

from .conftest import IMAGE, LABELS, SIDE, apart, network

torch = deferred("torch")
mlflow = deferred("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]

TOLERANCE = 1e-5
METADATA: dict[str, Any] = {"image": IMAGE, "labels": LABELS}
Load = Callable[..., Any]


def expected(module: Any, batch: Any) -> Any:
    with torch.inference_mode():
        return module(batch).float().softmax(dim=1).numpy()


def save_torch(path: Path, module: Any, *, images: int = 2, **options: Any) -> Path:
    example = np.zeros((images, 3, SIDE, SIDE), np.float32)
    options = {"metadata": METADATA, "pip_requirements": ["torch"], "input_example": example} | options
    mlflow.pytorch.save_model(module, str(path), **options)
    return path


# --- torch


@pytest.mark.parametrize("format", ["pt2", "pickle"])
def test_torch(tmp_path: Path, load: Load, images: Any, batch: Any, format: str) -> None:
    model = load(save_torch(tmp_path / "model", network(), serialization_format=format))
    assert apart(model.predict(images), expected(network(), batch)) <= TOLERANCE
    assert model.warnings == ()


def test_torchscript(tmp_path: Path, load: Load, images: Any, batch: Any) -> None:
    script = torch.jit.trace(network(), torch.zeros(2, 3, SIDE, SIDE))
    model = load(save_torch(tmp_path / "model", script, serialization_format="pickle", input_example=None))
    assert apart(model.predict(images), expected(network(), batch)) <= TOLERANCE


def test_an_example_of_one_image_fixes_the_batch_and_the_version_says_so(
    tmp_path: Path, load: Load, images: Any, batch: Any
) -> None:
    model = load(save_torch(tmp_path / "model", network(), images=1, serialization_format="pt2"))
    assert apart(model.predict(images), expected(network(), batch)) <= TOLERANCE
    [warning] = model.warnings
    assert warning.startswith("fixed batch of 1: 1.6× slower")


@pytest.mark.parametrize("format", ["pt2", "pickle"])
def test_half_precision_gets_half_precision(tmp_path: Path, load: Load, images: Any, batch: Any, format: str) -> None:
    half = network().to(torch.bfloat16)
    options: dict[str, Any] = {"serialization_format": format, "input_example": None}
    if format == "pt2":
        path = save_torch(tmp_path / "model", network(), serialization_format=format)
        dynamic = {"input": {0: torch.export.Dim.DYNAMIC}}
        program = torch.export.export(
            half, (torch.zeros(2, 3, SIDE, SIDE, dtype=torch.bfloat16),), dynamic_shapes=dynamic
        )
        torch.export.save(program, path / "data" / "model.pt2")
    else:
        path = save_torch(tmp_path / "model", half, **options)
    model = load(path)
    assert apart(model.predict(images), expected(half, batch.to(torch.bfloat16))) <= TOLERANCE


def test_a_torch_model_with_a_flat_signature_gets_flat_rows(
    tmp_path: Path, load: Load, images: Any, batch: Any
) -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3 * SIDE * SIDE, len(LABELS))
    example = np.zeros((2, 3 * SIDE * SIDE), np.float32)
    model = load(save_torch(tmp_path / "model", module, input_example=example, serialization_format="pt2"))
    assert apart(model.predict(images), expected(module, batch.flatten(1))) <= TOLERANCE


@pytest.mark.parametrize("format", ["pt2", "pickle"])
def test_a_signature_that_contradicts_the_crop_is_refused(tmp_path: Path, load: Load, format: str) -> None:
    other = METADATA | {"image": IMAGE | {"crop_size": 224}}
    path = save_torch(tmp_path / "model", network(), metadata=other, serialization_format=format)
    with pytest.raises(ModelError, match="wants 3×8×8, crop_size gives 3×224×224"):
        load(path)


def test_a_preset_of_timm_that_can_not_be_followed_is_told_where_the_metadata_says_nothing(
    tmp_path: Path, load: Load
) -> None:
    timm = pytest.importorskip("timm")
    module = timm.create_model("test_vit.r160_in1k").eval()
    module.pretrained_cfg.update(crop_mode="border", crop_pct=0.9)
    options = {"serialization_format": "pickle", "input_example": None, "metadata": {"labels": LABELS}}
    path = save_torch(tmp_path / "model", module, **options)
    with pytest.raises(ModelError, match=r"has no image.*preset can't be read: ValueError: timm's crop_mode 'border'"):
        load(path)


def test_a_pickled_model_of_timm_brings_its_preset(tmp_path: Path, load: Load) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.create_model("test_vit.r160_in1k").eval()
    model = load(
        save_torch(tmp_path / "model", module, metadata=None, input_example=None, serialization_format="pickle")
    )
    assert (model.spec.crop_size, model.spec.resize_size, model.spec.mean) == ((160, 160), (168,), (0.5, 0.5, 0.5))
    assert len(model.labels) == 1000
    assert model.labels[0].startswith("tench")


# --- ONNX


def save_onnx(path: Path, module: Any, *, images: int | None = None, example: Any = None, **options: Any) -> Path:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    example = torch.zeros(images or 2, 3, SIDE, SIDE) if example is None else example
    dynamic = ({0: torch.export.Dim("batch")},) if images is None else None
    program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    options = {"metadata": METADATA, "pip_requirements": ["onnxruntime"]} | options
    mlflow.onnx.save_model(program.model_proto, str(path), **options)
    return path


@pytest.mark.parametrize("size", [None, 1, 3])
def test_onnx(tmp_path: Path, load: Load, images: Any, batch: Any, size: int | None) -> None:
    model = load(save_onnx(tmp_path / "model", network(), images=size))
    assert apart(model.predict(images), expected(network(), batch)) <= TOLERANCE
    assert [warning.partition(":")[0] for warning in model.warnings] == (
        [] if size is None else [f"fixed batch of {size}"]
    )


def test_onnx_with_channels_last_and_in_half_precision(tmp_path: Path, load: Load, images: Any, batch: Any) -> None:
    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, pixels: Any) -> Any:
            return self.network(pixels.float().permute(0, 3, 1, 2))

    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.float16)
    model = load(save_onnx(tmp_path / "model", Last().eval(), example=example))
    assert apart(model.predict(images), expected(network(), batch.half().float())) <= TOLERANCE


def test_an_onnx_graph_that_contradicts_the_crop_is_refused(tmp_path: Path, load: Load) -> None:
    path = save_onnx(tmp_path / "model", network())
    with pytest.raises(ModelError, match="the ONNX graph wants 3×8×8, crop_size gives 3×9×9"):
        load(path, image='{"crop_size": 9}')


def test_a_converted_scikit_learn_classifier_gives_its_probabilities(
    tmp_path: Path, load: Load, images: Any, batch: Any
) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    rows, classes = training()
    fitted = deferred("sklearn.linear_model").LogisticRegression(max_iter=300).fit(rows, classes)
    graph = skl2onnx.to_onnx(fitted, rows[:1])
    mlflow.onnx.save_model(graph, str(tmp_path / "model"), metadata=METADATA, pip_requirements=["onnxruntime"])
    model = load(tmp_path / "model")
    assert apart(model.predict(images), fitted.predict_proba(batch.flatten(1).numpy())) <= TOLERANCE


# --- scikit-learn and those with its interface


def training() -> tuple[Any, Any]:
    """Return rows of features and class ids, of every class some."""
    rows = np.random.default_rng(0).normal(size=(80, 3 * SIDE * SIDE)).astype(np.float32)
    classes = np.arange(80) % len(LABELS)
    rows[:, :4] += np.eye(4, dtype=np.float32)[classes] * 2
    return rows, classes


def fitted_models() -> dict[str, Callable[[], Any]]:
    linear, pipeline = deferred("sklearn.linear_model"), deferred("sklearn.pipeline")
    scaling, ensemble = deferred("sklearn.preprocessing"), deferred("sklearn.ensemble")
    rows, classes = training()

    def xgboost() -> Any:
        return pytest.importorskip("xgboost").XGBClassifier(n_estimators=3).fit(rows, classes)

    def lightgbm() -> Any:
        return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, classes)

    return {
        "sklearn": lambda: linear.LogisticRegression(max_iter=300).fit(rows, classes),
        "sklearn pipeline": lambda: pipeline.make_pipeline(
            scaling.StandardScaler(), ensemble.RandomForestClassifier(5, random_state=0)
        ).fit(rows, classes),
        "xgboost": xgboost,
        "lightgbm": lightgbm,
    }


@pytest.mark.parametrize("signature", ["none", "flat", "columns"])
@pytest.mark.parametrize("name", ["sklearn", "sklearn pipeline", "xgboost", "lightgbm"])
def test_classifiers_that_predict_class_ids_give_their_probabilities(
    tmp_path: Path, load: Load, images: Any, batch: Any, name: str, signature: str
) -> None:
    model = fitted_models()[name]()
    rows, classes = training()
    example = {"none": None, "flat": rows[:2], "columns": frame(rows[:2])}[signature]
    flavour = getattr(mlflow, name.split(maxsplit=1)[0])
    options: dict[str, Any] = {"metadata": METADATA, "pip_requirements": ["numpy"]}
    if name.startswith(("sklearn", "lightgbm")):
        options["serialization_format"] = "cloudpickle"
    if example is not None:
        options["signature"] = mlflow.models.infer_signature(example, classes[:2])
    flavour.save_model(model, str(tmp_path / "model"), **options)
    loaded = load(tmp_path / "model")
    assert apart(loaded.predict(images), model.predict_proba(batch.flatten(1).numpy())) <= TOLERANCE


def frame(rows: Any) -> Any:
    return deferred("pandas").DataFrame(rows, columns=[f"pixel{index}" for index in range(rows.shape[1])])


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("classes", [2, 4])
def test_boosters_give_probabilities(
    tmp_path: Path, load: Load, images: Any, batch: Any, library: str, classes: int
) -> None:
    module = pytest.importorskip(library)
    rows, ids = training()
    ids %= classes
    flat = batch.flatten(1).numpy()
    if library == "xgboost":
        objective = {"objective": "multi:softmax", "num_class": 4} if classes > 2 else {"objective": "binary:logistic"}
        booster = module.train(objective, module.DMatrix(rows, ids), 3)
        margins = booster.predict(module.DMatrix(flat), output_margin=True)
        wanted = torch.softmax(torch.tensor(margins), 1) if classes > 2 else torch.sigmoid(torch.tensor(margins))
        wanted = wanted.numpy()
    else:
        kind = {"objective": "multiclass", "num_class": 4} if classes > 2 else {"objective": "binary"}
        booster = module.train(kind | {"verbose": -1}, module.Dataset(rows, ids), 3)
        wanted = booster.predict(flat)
    if classes == 2:
        wanted = np.stack([1 - wanted, wanted], 1)
    labels = LABELS[:classes]
    getattr(mlflow, library).save_model(
        booster, str(tmp_path / "model"), metadata=METADATA | {"labels": labels}, pip_requirements=["numpy"]
    )
    assert apart(load(tmp_path / "model").predict(images), wanted, labels) <= TOLERANCE


def test_a_classifier_without_probabilities_gives_the_softmax_of_its_decisions(
    tmp_path: Path, load: Load, images: Any, batch: Any
) -> None:
    rows, classes = training()
    fitted = deferred("sklearn.svm").LinearSVC().fit(rows, classes)
    save_sklearn(tmp_path / "model", fitted, METADATA)
    wanted = torch.softmax(torch.from_numpy(fitted.decision_function(batch.flatten(1).numpy())), 1)
    assert apart(load(tmp_path / "model").predict(images), wanted) <= TOLERANCE


def save_sklearn(path: Path, fitted: Any, metadata: Any) -> None:
    mlflow.sklearn.save_model(
        fitted, str(path), metadata=metadata, pip_requirements=["numpy"], serialization_format="cloudpickle"
    )


def test_a_classifiers_own_classes_are_its_labels_and_may_not_be_in_another_order(tmp_path: Path, load: Load) -> None:
    rows, classes = training()
    fitted = deferred("sklearn.linear_model").LogisticRegression(max_iter=300).fit(rows, np.array(LABELS)[classes])
    save_sklearn(tmp_path / "model", fitted, {"image": IMAGE})
    assert load(tmp_path / "model").labels == tuple(LABELS)
    with pytest.raises(ModelError, match="another order than the model's own: cat, dog, owl, yak"):
        load(tmp_path / "model", labels=json.dumps(LABELS[::-1]))


def test_a_classifier_of_other_features_is_refused(tmp_path: Path, load: Load) -> None:
    rows, classes = training()
    fitted = deferred("sklearn.linear_model").LogisticRegression(max_iter=300).fit(rows, classes)
    save_sklearn(tmp_path / "model", fitted, METADATA | {"image": {"crop_size": SIDE, "mode": "L"}})
    with pytest.raises(ModelError, match=r"wants 192, crop_size gives 64 \(1×8×8\)"):
        load(tmp_path / "model")


# --- pyfunc


def first_pixels(kind: str, batch_size: int | None, index: tuple[Any, ...], shape: tuple[int, ...] | None) -> Any:
    """Make a model whose scores are four values of the input; it raises for an input of another form.

    It is pickled, so it refers to no module of these tests.
    """

    class FirstPixels(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002  MLflow reads hints as a schema
            if str(model_input.dtype) != kind or batch_size not in (None, len(model_input)):
                raise ValueError(f"got {model_input.shape} of {model_input.dtype}")
            values = model_input if shape is None else model_input.reshape(shape)
            return values[index].astype("float64") * 4

    return FirstPixels()


FIRST, LAST = (slice(None), 1, 2, slice(4)), (slice(None), 2, slice(4), 1)
FLAT = (-1, 3, SIDE, SIDE)


@pytest.mark.parametrize(
    ("signature", "kind", "index"),
    [
        (None, "float32", FIRST),
        ((-1, 3, SIDE, SIDE), "float32", FIRST),
        ((-1, SIDE, SIDE, 3), "float32", LAST),
        ((-1, 3 * SIDE * SIDE), "float32", FIRST),
        ((2, 3, SIDE, SIDE), "float32", FIRST),
        ((-1, 3, SIDE, SIDE), "float64", FIRST),
    ],
)
def test_pyfunc_in_the_form_of_its_signature(
    tmp_path: Path, load: Load, images: Any, batch: Any, signature: Any, kind: str, index: Any
) -> None:
    is_flat = signature is not None and len(signature) == 2
    size = signature[0] if signature and signature[0] > 0 else None
    save_pyfunc(tmp_path / "model", first_pixels(kind, size, index, FLAT if is_flat else None), signature, kind)
    found = load(tmp_path / "model").predict(images)
    assert apart(found, torch.softmax(batch[:, 1, 2, :4] * 4, 1)) <= TOLERANCE


def test_whole_numbers_are_pixels(tmp_path: Path, load: Load, images: Any) -> None:
    signature = (-1, SIDE, SIDE, 3)
    save_pyfunc(tmp_path / "model", first_pixels("uint8", None, LAST, None), signature, "uint8")
    with pytest.raises(ModelError, match="leave out mean and std"):
        load(tmp_path / "model")
    found = load(tmp_path / "model", image=json.dumps({"crop_size": SIDE})).predict(images)
    pixels = torch.from_numpy(np.stack(images))[:, 2, :4, 1].double()
    assert apart(found, torch.softmax(pixels * 4, 1)) <= TOLERANCE


def save_pyfunc(path: Path, model: Any, shape: Any, kind: str) -> None:
    schema = mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype(kind), shape)]) if shape else None
    mlflow.pyfunc.save_model(
        str(path),
        python_model=model,
        signature=schema and mlflow.models.ModelSignature(inputs=schema),
        metadata=METADATA,
        pip_requirements=["numpy"],
    )


# --- transformers


def test_an_image_pipeline_of_transformers(tmp_path: Path, load: Load) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)},
    )  # fmt: skip
    module = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_std=[0.25, 0.5, 0.5])
    pipeline = transformers.pipeline("image-classification", model=module, image_processor=processor)
    mlflow.transformers.save_model(pipeline, str(tmp_path / "model"), pip_requirements=["transformers"])
    model = load(tmp_path / "model")
    assert (model.labels, model.spec.resize_size, model.spec.std) == (tuple(LABELS), (32, 32), (0.25, 0.5, 0.5))
    pixels = list(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))
    with torch.inference_mode():
        wanted = module(**processor(pixels, return_tensors="pt")).logits.softmax(1)
    assert apart(model.predict(pixels), wanted) <= TOLERANCE


@pytest.mark.parametrize("kind", [list[str], list[list[float]], list[bytes]])
def test_type_hints_of_an_input_that_is_no_image_are_refused_with_what_to_do(
    tmp_path: Path, load: Load, kind: Any
) -> None:
    class Hinted(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, model_input):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return [[0.25, 0.75] for _ in model_input]

    Hinted.predict.__annotations__["model_input"] = kind
    signature = mlflow.types.type_hints._infer_schema_from_list_type_hint(kind)
    signature = mlflow.models.ModelSignature(inputs=signature)
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Hinted(), signature=signature, metadata=METADATA, pip_requirements=["numpy"]
    )
    with pytest.raises(ModelError, match="and an image comes as numbers: let predict take a numpy array"):
        load(tmp_path / "model")
