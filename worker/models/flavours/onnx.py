"""ONNX graphs through onnxruntime: MLflow's wrapper has neither the graph's batch size nor the worker's device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from worker.models.devices import is_gpu
from worker.models.errors import ModelError
from worker.models.flavours.input_form import InputForm, shape_of, torch_type
from worker.models.flavours.loaded_flavour import LoadedFlavour, fixed_batch_warnings

_TYPES: Final = {"float": "float32", "double": "float64"}
"""onnxruntime's names of number types, where they are not numpy's."""
_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_OF_A_GPU: Final = frozenset({_CUDA, "TensorrtExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"})


def load_onnx(path: str, description: Any, *, device: str, threads: int) -> LoadedFlavour:
    """Return an ONNX version's session on the device, or on the CPU where onnxruntime can't use the GPU.

    Raises ModelError for a graph that takes something beside a batch of images.
    """
    import onnxruntime  # noqa: PLC0415  few workers have it

    about = description.flavors["onnx"]
    session = onnxruntime.InferenceSession(
        str(Path(path) / about["data"]),
        sess_options=_session_options(onnxruntime.SessionOptions(), about, threads=threads),
        providers=_providers(about, onnxruntime.get_available_providers(), device=device),
    )
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"the ONNX graph has the inputs {', '.join(one.name for one in inputs)}: it may have one")
    form = InputForm(where="the ONNX graph", shape=shape_of(inputs[0].shape), type=_number_type(inputs[0].type))
    names = [one.name for one in session.get_outputs()]
    is_classifier = _is_classifier(session.get_outputs())

    def forward(batch: torch.Tensor) -> object:
        found = session.run(names, {inputs[0].name: form.arranged(batch.cpu()).numpy()})
        if is_classifier:
            return _rows(found[1])
        tensors = {name: torch.from_numpy(np.asarray(one)) for name, one in zip(names, found, strict=True)}
        return tensors[names[0]] if len(names) == 1 else tensors

    no_gpu = ["computed on the CPU: onnxruntime finds no CUDA here, install onnxruntime-gpu"]
    has_gpu = not is_gpu(device) or bool(_OF_A_GPU & set(session.get_providers()))
    return LoadedFlavour(
        forward=forward,
        batch_size=form.batch_size,
        form=form,
        defaults={"activation": "none"} if is_classifier else {},
        warnings=(
            *fixed_batch_warnings(form.batch_size, remedy="export it with a dynamic first dimension"),
            *([] if has_gpu else no_gpu),
        ),
    )


def _session_options(options: Any, about: Mapping[str, Any], *, threads: int) -> Any:
    """Set what the version was logged with; the worker's threads where it says none."""
    logged = about.get("onnx_session_options") or {}
    options.intra_op_num_threads = logged.get("intra_op_num_threads") or threads
    if logged.get("inter_op_num_threads"):
        options.inter_op_num_threads = logged["inter_op_num_threads"]
    for key, value in (logged.get("extra_session_config") or {}).items():
        options.add_session_config_entry(key, value)
    return options


def _providers(about: Mapping[str, Any], available: list[str], *, device: str) -> list[Any]:
    """Return the execution providers in the order of preference: those logged, of what there is for the device."""
    logged = about.get("providers") or [_CUDA]
    found = []
    for provider in [logged] if isinstance(logged, str) else logged:
        name, options = (provider, {}) if isinstance(provider, str) else (provider[0], dict(provider[1]))
        if name not in available or name == _CPU or (name in _OF_A_GPU and not is_gpu(device)):
            continue
        if name in _OF_A_GPU:
            options = {"device_id": torch.device(device).index or 0} | options
        if name == _CUDA:
            # Its default tries every algorithm of each convolution for each number of images that it has not seen yet.
            options = {"cudnn_conv_algo_search": "HEURISTIC"} | options
        found.append((name, options))
    return [*found, _CPU]


def _number_type(text: str) -> torch.dtype:
    """Return the type of what onnxruntime calls `tensor(float)`."""
    name = text.removeprefix("tensor(").removesuffix(")")
    return torch_type(_TYPES.get(name, name))


def _is_classifier(outputs: list[Any]) -> bool:
    """Tell whether the outputs are those of a converted scikit-learn classifier: class ids, then probabilities."""
    if len(outputs) != 2:  # noqa: PLR2004  ids and probabilities
        return False
    ids, probabilities = outputs
    return ids.type in ("tensor(int64)", "tensor(string)") and (
        probabilities.type.startswith("seq(map(") or "prob" in probabilities.name.lower()
    )


def _rows(probabilities: Any) -> object:
    """Return rows of probabilities; the converter's default is a mapping of classes an image."""
    if isinstance(probabilities, list):
        return np.array([[*row.values()] for row in probabilities], np.float32)
    return probabilities
