"""Every flavour that has no module of its own here, through `mlflow.pyfunc`."""

from typing import Any, Final

import torch

from worker.models.errors import ModelError
from worker.models.flavours.estimators import ESTIMATORS, load_estimator
from worker.models.flavours.input_form import InputForm, signature_form
from worker.models.flavours.loaded_flavour import LoadedFlavour, fixed_batch_warnings
from worker.models.forward_function import Forward
from worker.models.missing_packages import missing_module

_WITHOUT_SIGNATURE: Final = (
    "because the model has no signature: let it take that, or log it with signature=infer_signature(what it takes), "
    "an array, or a data frame with a column for each value of an image"
)


def load_pyfunc(path: str, description: Any) -> LoadedFlavour:
    """Return the forward pass of any flavour, in the layout and number type of its signature.

    Without a signature it gets float32 (images, channels, height, width), a scikit-learn-like model rows of features.

    Raises ModelError for a model that MLflow can only load, not ask, and for one of several inputs.
    """
    import mlflow.pyfunc  # noqa: PLC0415

    if "python_function" not in description.flavors:
        raise ModelError(
            f"MLflow logged no predict function with this model ({', '.join(description.flavors)}): wrap it in an "
            "mlflow.pyfunc.PythonModel whose predict calls it"
        )
    model = mlflow.pyfunc.load_model(path)
    schema = description.get_input_schema()
    if schema is not None and schema.is_tensor_spec() and len(schema.inputs) > 1:
        names = ", ".join(schema.input_names())
        raise ModelError(f"the signature wants the inputs {names}: a model may have one, the images")
    form = signature_form(schema)
    predict_function = description.flavors.get("python_function", {}).get("predict_fn", "predict")
    if ESTIMATORS & description.flavors.keys():
        return load_estimator(model.get_raw_model(), form, ask=predict_function)
    columns = None if schema is None or schema.is_tensor_spec() else schema.input_names()
    return LoadedFlavour(
        forward=_forward(model, form, columns),
        batch_size=form.batch_size,
        form=form,
        warnings=fixed_batch_warnings(form.batch_size, remedy="give its signature a first dimension of -1"),
    )


def _forward(model: Any, form: InputForm, columns: list[str] | None) -> Forward:
    has_answered = False

    def forward(batch: torch.Tensor) -> object:
        nonlocal has_answered
        given: Any = form.arranged(batch.cpu()).numpy()
        kind = f"a numpy array of {given.dtype}, (images{''.join(f', {side}' for side in given.shape[1:])})"
        if columns is not None:
            import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415  few signatures are a table's

            given, kind = pd.DataFrame(given, columns=columns), f"a data frame of {len(columns)} columns"
        try:
            output = model.predict(given)
        except Exception as error:
            # Later the reason lies in an image, and its client need not hear of this.
            if not has_answered and missing_module(error) is None:
                reason = "as its signature says" if form.where else _WITHOUT_SIGNATURE
                error.add_note(f"predict was given {kind}, {reason}")
            raise
        has_answered = True
        return output

    return forward
