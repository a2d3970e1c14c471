"""Every flavour that has no module of its own here, through `mlflow.pyfunc`."""

from typing import Any

import torch

from worker.models.flavours.estimators import ESTIMATORS, load_estimator
from worker.models.flavours.input_form import InputForm, signature_form
from worker.models.flavours.loaded_flavour import LoadedFlavour, fixed_batch_warnings
from worker.models.forward_function import Forward


def load_pyfunc(path: str, description: Any) -> LoadedFlavour:
    """Return the forward pass of any flavour, in the layout and number type of its signature.

    Without a signature it gets float32 (images, channels, height, width), a scikit-learn-like model rows of features.
    """
    import mlflow.pyfunc  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(path)
    schema = description.get_input_schema()
    form = signature_form(schema)
    predict_function = description.flavors.get("python_function", {}).get("predict_fn", "predict")
    if ESTIMATORS & description.flavors.keys() and predict_function == "predict":
        return load_estimator(model.get_raw_model(), form)
    columns = None if schema is None or schema.is_tensor_spec() else schema.input_names()
    return LoadedFlavour(
        forward=_forward(model, form, columns),
        batch_size=form.batch_size,
        form=form,
        defaults={"activation": "none"} if predict_function == "predict_proba" else {},
        warnings=fixed_batch_warnings(form.batch_size, remedy="give its signature a first dimension of -1"),
    )


def _forward(model: Any, form: InputForm, columns: list[str] | None) -> Forward:
    def forward(batch: torch.Tensor) -> object:
        array = form.arranged(batch.cpu()).numpy()
        if columns is None:
            return model.predict(array)
        import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415  few signatures are a table's

        return model.predict(pd.DataFrame(array, columns=columns))

    return forward
