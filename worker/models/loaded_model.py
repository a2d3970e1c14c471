"""Load a model version and run it: serving's only torch.

A version whose exported graph has a fixed batch size works too, in portions of that size (filled up
with its last image): one forward pass an image where it was exported with a single one. Export with
a free batch dimension.
"""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

from shared.settings import Registry, SettingsError
from worker.models.output_json import SOFTMAX, ModelError, ModelMetadata, scores_to_json, unique_labels
from worker.models.registry_reader import configure_mlflow_client
from worker.predict.predictor import OutOfMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Forward = Callable[[torch.Tensor], object]

CPU_PORTION = 1_250_000
"""Input values of one forward pass on a CPU, 5 MB: eight images of 224x224.

Beyond that activations leave the cache and glibc gives every large block back: mobilenet_v3_small costs 8.0 ms an image
in batches of 64 and 3.4 in batches of 8.
"""
_CPU_ALLOCATION_FAILED = "can't allocate memory"
"""What torch's CPU allocator says, in a plain RuntimeError."""


class LoadedModel:
    """One version on one device. Threads may share it; a device computes one batch at a time."""

    def __init__(
        self, forward: "Forward", *, contract: ModelMetadata, device: str, batch_size: int | None = None
    ) -> None:
        """`forward` takes float32 (images, channels, height, width), `batch_size` of them if set."""
        self.spec = contract.spec
        self.labels = contract.labels
        self._names = unique_labels(contract.labels)
        self.top_k = contract.top_k
        self.device = device
        self._softmax = contract.activation == SOFTMAX
        self._forward = forward
        self._batch_size = batch_size
        self._lock = _lock_of(device)
        # (x / 255 - mean) / std in one multiplication and one subtraction, the same to a float's
        # last digit or two.
        std = torch.tensor(self.spec.std, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = torch.tensor(self.spec.mean, device=device).view(1, -1, 1, 1) / std

    def predict(self, images: "Sequence[Pixels]") -> list[bytes]:
        """Return one output (JSON) an image, from one forward pass over all.

        Images are (height, width, channels) as `decode` gives them. Raises OutOfMemory where the
        device has no room for so many, ModelError for scores that can't be used.
        """
        try:
            with self._lock, torch.inference_mode():
                scores = self._scores(images)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if self.device != "cpu":
                torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error
        except RuntimeError as error:
            if _CPU_ALLOCATION_FAILED in str(error):
                raise OutOfMemory(str(error)) from error
            raise
        return scores_to_json(scores, labels=self.labels, top_k=self.top_k, names=self._names)

    def warm_up(self, batch_size: int) -> None:
        """Run one image and a batch of noise, so that no real one pays for first times.

        Shows as well whether the version's answers fit its labels. Raises as `predict` does, except
        that a batch too large for the device is halved.
        """
        height, width = self.spec.input_size or (1, 1)
        shape = (batch_size, height, width, self.spec.mode.channels)
        # Noise, because a flat image makes models that normalise by an image's own deviation divide
        # by zero.
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.predict([noise[0]])
        while batch_size > 1:
            try:
                self.predict(list(noise[:batch_size]))
            except OutOfMemory:
                batch_size //= 2
            else:
                return

    def _scores(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return (images, labels) probabilities, or whatever the version calls its scores."""
        portions = [self._answers(part) for part in self._portions(self._normalised(images))]
        scores = portions[0] if len(portions) == 1 else torch.cat(portions)
        # Where a fixed batch size made the last portion longer than its images.
        scores = scores[: len(images)].float()
        if self._softmax and scores.ndim > 1:
            scores = scores.softmax(dim=1)
        found: NDArray[np.float32] = scores.cpu().numpy()
        return found

    def _answers(self, batch: torch.Tensor) -> torch.Tensor:
        """Return one row an image; raises ModelError where the model gives more or fewer."""
        scores = _tensor(self._forward(batch))
        if scores.ndim == 0 or len(scores) != len(batch):
            raise ModelError(f"the model answers {len(batch)} images in the shape {[*scores.shape]}")
        return scores

    def _normalised(self, images: "Sequence[Pixels]") -> torch.Tensor:
        """Return (images, channels, height, width) float32 on the device."""
        height, width, channels = images[0].shape
        # Half the time of np.stack.
        batch = np.concatenate(images).reshape(len(images), height, width, channels)
        # Bytes cross to the device and are put in order there, a quarter of what floats would be.
        planes = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).contiguous()
        return planes.float().mul_(self._scale).sub_(self._shift)

    @staticmethod
    def _most(values: int) -> int:
        """Return how many images of so many values a CPU takes at once."""
        return max(1, CPU_PORTION // values)

    def _portions(self, batch: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the batch in portions: of a fixed batch size, the last one filled up, or of what a CPU does well."""
        if self._batch_size is None:
            yield from torch.split(batch, self._most(batch[0].numel())) if self.device == "cpu" else (batch,)
            return
        for part in torch.split(batch, self._batch_size):
            missing = self._batch_size - len(part)
            yield torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing else part


def choose_device(setting: str) -> str:
    """Return what `auto` means here, or the device that torch knows by this name; raises SettingsError."""
    if setting != "auto":
        try:
            torch.empty(0, device=setting)
        except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
            raise SettingsError(f"DARKROOM_PREDICT_DEVICE: {str(error).splitlines()[0]} (it is {setting!r})") from None
        return setting
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_memory(device: str) -> dict[str, int]:
    """Return a GPU's memory in bytes: `allocated` to tensors, `reserved` by torch, and `total`; nothing for a CPU."""
    if not device.startswith("cuda"):
        return {}
    _, total = torch.cuda.mem_get_info(device)
    allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return {"allocated": allocated, "reserved": reserved, "total": total}


def load(uri: str, *, registry: Registry, device: str, threads: int) -> LoadedModel:
    """Return the version behind an MLflow URI such as `models:/digits/3`; not warmed up.

    Raises ModelError for metadata that is not a contract, and whatever MLflow and torch raise for
    files they can't get or read. `threads` (of one forward pass) is the process' own setting: the
    last call counts.
    """
    configure_mlflow_client(registry)
    import mlflow  # noqa: PLC0415  reads its environment when imported
    import mlflow.artifacts  # noqa: PLC0415
    from mlflow.models import Model  # noqa: PLC0415

    # MLflow resolves `models:/` by the process' own setting, whatever registry it is handed.
    mlflow.set_tracking_uri(registry.url)
    mlflow.set_registry_uri(registry.url)
    torch.set_num_threads(threads)
    folder = Path(tempfile.mkdtemp(prefix="darkroom-model-"))
    try:
        path = mlflow.artifacts.download_artifacts(
            uri, dst_path=str(folder), tracking_uri=registry.url, registry_uri=registry.url
        )
        description = Model.load(path)
        contract = ModelMetadata.from_metadata(description.metadata)
        if "pytorch" in description.flavors:
            data = Path(path) / description.flavors["pytorch"]["model_data"]
            forward, batch_size = _load_torch(path, data, device=device)
        else:
            forward, batch_size = _load_pyfunc(path, contract), None
        model = LoadedModel(forward, contract=contract, device=device, batch_size=batch_size)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if isinstance(forward, MethodType) and isinstance(forward.__self__, torch.fx.GraphModule):
        # A graph is in memory whole; what stays on disk would be left behind by a process that is killed.
        shutil.rmtree(folder, ignore_errors=True)
    else:
        # Its own code is imported from there, and some flavours read their files when they predict.
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def _load_torch(path: str, data: Path, *, device: str) -> "tuple[Forward, int | None]":
    """Return a torch version's forward pass, and its batch size where the graph fixes that."""
    import mlflow.pytorch  # noqa: PLC0415

    exported = data / "model.pt2"
    if not exported.exists():
        module = mlflow.pytorch.load_model(path, map_location=device)
        return module.eval(), None
    # Through MLflow even where the result can't be used as it is: it refuses what its settings
    # forbid.
    module = mlflow.pytorch.load_model(path)
    if device != "cpu":
        module = load_exported(exported, device=device)
    # What the module's call adds to its forward (input checks that the graph's guards repeat) costs
    # 45 microseconds.
    return module.forward, _fixed_batch_size(module)


def load_exported(file: Path, *, device: str) -> torch.nn.Module:
    """Return an exported program's module on `device`.

    `.to(device)` would leave behind the devices that are written in the graph.
    """
    return move_to_device_pass(torch.export.load(file), device).module()


def _fixed_batch_size(module: torch.fx.GraphModule) -> int | None:
    """Return the first input's first dimension where the graph fixes it."""
    first = next(node for node in module.graph.nodes if node.op == "placeholder")
    size = first.meta["val"].shape[0] if "val" in first.meta else None
    return size if isinstance(size, int) else None


def _load_pyfunc(path: str, contract: ModelMetadata) -> "Forward":
    """Return any other flavour's forward pass: float32 arrays in its signature's layout."""
    import mlflow.pyfunc  # noqa: PLC0415

    model = mlflow.pyfunc.load_model(path)
    schema = model.metadata.get_input_schema()
    tensors = schema.inputs if schema is not None and schema.is_tensor_spec() else []
    shape = tuple(tensors[0].shape) if tensors else ()
    channels = contract.spec.mode.channels

    def forward(batch: torch.Tensor) -> object:
        array = batch.cpu().numpy()
        if len(shape) == 2:  # noqa: PLR2004  images and features
            array = array.reshape(len(array), -1)
        elif len(shape) == 4 and shape[3] == channels != shape[1]:  # noqa: PLR2004  channels last, as Keras wants
            array = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
        return model.predict(array)

    return forward


def _tensor(output: object) -> torch.Tensor:
    """Return a forward pass's scores: a tensor, array or table, or the first of several."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, dict) and output:
        return _tensor(output.get("logits", next(iter(output.values()))))
    if isinstance(output, (tuple, list)) and output:
        return _tensor(output[0])
    array = np.asarray(output)
    if array.dtype.kind not in "fiu":
        raise ModelError(f"the model answers with {type(output).__name__}, not with numbers")
    return torch.from_numpy(np.ascontiguousarray(array))


@cache
def _lock_of(device: str) -> threading.Lock:  # noqa: ARG001  it is the cache's key
    """Return the device's lock: while one thread's batch computes, another's decodes."""
    return threading.Lock()
