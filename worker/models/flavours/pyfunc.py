"""Every flavour that has no module of its own here, through `mlflow.pyfunc`."""

import numpy as np
import torch

from worker.models.flavours.loaded_flavour import LoadedFlavour


def load_pyfunc(path: str) -> LoadedFlavour:
    """Return the forward pass of any flavour, which takes a float32 array in its signature's layout."""
    import mlflow.pyfunc  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(path)
    schema = model.metadata.get_input_schema()
    tensors = schema.inputs if schema is not None and schema.is_tensor_spec() else []
    shape = tuple(tensors[0].shape) if tensors else ()

    def forward(batch: torch.Tensor) -> object:
        array, channels = batch.cpu().numpy(), batch.shape[1]
        if len(shape) == 4 and shape[3] == channels != shape[1]:  # noqa: PLR2004  channels last, as Keras wants
            return model.predict(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))
        array = np.ascontiguousarray(array)
        return model.predict(array.reshape(len(array), -1) if len(shape) == 2 else array)  # noqa: PLR2004  features

    return LoadedFlavour(forward=forward)
