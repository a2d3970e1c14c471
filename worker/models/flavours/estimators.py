"""scikit-learn, XGBoost, LightGBM and CatBoost: their classifiers give probabilities here, not class ids.

`mlflow.pyfunc` calls `predict`, which gives ids; the model underneath it is asked instead.
"""

import json
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from worker.models.errors import ModelError
from worker.models.flavours.input_form import InputForm
from worker.models.flavours.loaded_flavour import LoadedFlavour
from worker.models.forward_function import Forward

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Predict = Callable[[NDArray[np.generic]], object]

ESTIMATORS: Final = frozenset({"sklearn", "xgboost", "lightgbm", "catboost"})
"""MLflow's names of these flavours."""


def load_estimator(model: Any, signature: InputForm, *, ask: str) -> LoadedFlavour:
    """Return what is served of a fitted estimator or booster: a row of features an image, without a signature too.

    `ask` is the method that it was logged to be asked with; instead of `predict` that is used which says most.
    Raises ModelError for a classifier of several outputs that are no absent and present.
    """
    # They are fitted on tables of named columns as often as on arrays, and get arrays.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    form = signature
    if form.shape is None and (count := _feature_count(model)) is not None:
        form = InputForm(where="the model", shape=(None, count))
    elif form.shape is None:
        form = InputForm(where="the model", shape=(None, None))
    if ask in ("predict", "predict_proba"):
        predict, defaults = _booster(model) or _estimator(model)
    else:
        predict, defaults = getattr(model, ask), {}
    return LoadedFlavour(forward=_forward(predict, form), form=form, defaults=defaults)


def _forward(predict: "Predict", form: InputForm) -> Forward:
    def forward(batch: torch.Tensor) -> object:
        return predict(form.arranged(batch.cpu()).numpy())

    return forward


def _feature_count(model: Any) -> int | None:
    """Return the number of features that it was fitted on, None where it doesn't say."""
    for name in ("n_features_in_", "num_features", "num_feature"):
        try:
            value = getattr(model, name)
        except AttributeError:
            continue
        return int(value() if callable(value) else value)
    return None


def _estimator(model: Any) -> "tuple[Predict, dict[str, Any]]":
    """Return how an estimator with scikit-learn's interface is asked, and the metadata that this implies."""
    classes = getattr(model, "classes_", None)
    if hasattr(model, "predict_proba"):
        if isinstance(classes, list):  # of several outputs, each present or absent
            return _each_present(model.predict_proba, classes), {"task": "multilabel", "activation": "none"}
        return model.predict_proba, {"activation": "none"} | _labels(classes)
    if hasattr(model, "decision_function") and classes is not None:
        return _two_columns(model.decision_function, lambda row: (-row, row)), _labels(classes)
    if classes is None:
        return _column(model.predict), {"task": "regression"}
    return model.predict, {}


def _labels(classes: Any) -> dict[str, Any]:
    return {} if classes is None else {"labels": [str(one) for one in classes]}


def _booster(model: Any) -> "tuple[Predict, dict[str, Any]] | None":
    """Return the same for a booster, which says by its objective what it predicts; None for another model."""
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if kind == "xgboost.core.Booster":
        return _xgboost(model)
    return _lightgbm(model) if kind == "lightgbm.basic.Booster" else None


def _xgboost(model: Any) -> "tuple[Predict, dict[str, Any]]":
    objective = str(json.loads(model.save_config())["learner"]["objective"]["name"])

    def margins(rows: "NDArray[np.generic]") -> Any:
        return model.inplace_predict(rows, predict_type="margin")

    if objective.startswith("multi:"):
        return margins, {"activation": "softmax"}
    if objective.startswith("binary:"):
        # The softmax of 0 and the margin is the margin's sigmoid.
        return _two_columns(margins, lambda row: (np.zeros_like(row), row)), {"activation": "softmax"}
    return _column(model.inplace_predict), {"task": "regression"}


def _lightgbm(model: Any) -> "tuple[Predict, dict[str, Any]]":
    objective = str(model.dump_model(num_iteration=1).get("objective", ""))
    if objective.startswith("multiclass"):
        return model.predict, {"activation": "none"}
    if objective.startswith("binary"):
        return _two_columns(model.predict, lambda row: (1 - row, row)), {"activation": "none"}
    return _column(model.predict), {"task": "regression"}


def _two_columns(predict: "Callable[..., Any]", columns: Callable[[Any], tuple[Any, Any]]) -> "Predict":
    """Return scores of both classes where there is only one number an image."""

    def both(rows: "NDArray[np.generic]") -> object:
        found = np.asarray(predict(rows))
        return np.stack(columns(found), axis=1) if found.ndim == 1 else found

    return both


def _column(predict: "Callable[..., Any]") -> "Predict":
    """Return a row of values an image, also of one value."""
    return lambda rows: np.asarray(predict(rows)).reshape(len(rows), -1)


def _each_present(predict: "Callable[..., Any]", classes: "list[NDArray[Any]]") -> "Predict":
    """Return each output's probability of being present; raises ModelError for one with more than two classes."""
    places = []
    for number, values in enumerate(classes):
        if len(values) > 2 or (len(values) == 1 and values[0] not in (0, 1)):  # noqa: PLR2004  absent and present
            shown = ", ".join(map(str, values[:10]))
            raise ModelError(
                f"output {number} of the classifier has the classes {shown}; multilabel has one output a label, absent "
                "(0) or present (1): fit a classifier for each output, or wrap it in a PythonModel of the task json"
            )
        # An output that was always present or never in training has one column.
        places.append(1 if len(values) == 2 else 0 if values[0] == 1 else None)  # noqa: PLR2004

    def present(rows: "NDArray[np.generic]") -> object:
        columns = [
            np.zeros(len(rows)) if place is None else found[:, place]
            for found, place in zip(predict(rows), places, strict=True)
        ]
        return np.stack(columns, axis=1)

    return present
