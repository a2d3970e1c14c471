"""A loaded model version: takes images, gives one JSON output for each.

A version whose exported graph has a fixed batch size works too, in portions of that size, the last one filled up with
its last image. Exported with a batch size of one it costs a forward pass an image: export with a free batch dimension.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from shared.domain.model_route import Agreement
from worker.models.channels_last import ChannelsLast, is_out_of_memory
from worker.models.errors import ModelError, OutOfMemory
from worker.models.model_metadata import SOFTMAX, Decode, ModelMetadata, Precision
from worker.models.output_json import scores_to_json, unique_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Forward = Callable[[torch.Tensor], object]
"""Takes float32 (images, channels, height, width), gives one row of scores an image."""

CPU_PORTION = 2_500_000
"""Input values of one forward pass on a CPU: 10 MB, 16 images of 224x224.

mobilenet_v3_small costs 2.3 ms an image in portions of 8, 1.7 in portions of 16, 32 or 64, which take more memory.
"""


class LoadedModel:
    """One version on one device. Threads may share it; a device computes one micro-batch at a time."""

    def __init__(
        self, forward: Forward, *, metadata: ModelMetadata, device: str, batch_size: int | None = None
    ) -> None:
        """`forward` takes float32 (images, channels, height, width), `batch_size` of them if set."""
        self.spec = metadata.spec
        self.labels = metadata.labels
        self._names = unique_labels(metadata.labels)
        self.top_k = metadata.top_k
        self.device = device
        self.decode = Decode.EXACT
        self.precision = Precision.FP32
        self.agreement: Agreement | None = None
        """How far the scores agree with those of fp32 and exact decoding; None where nothing is lost."""
        self._softmax = metadata.activation == SOFTMAX

        def scores_of(batch: torch.Tensor) -> torch.Tensor:
            return _tensor(forward(batch))

        self._scores_of = ChannelsLast(scores_of) if device == "cpu" else scores_of
        self._batch_size = batch_size
        self._lock = _lock_of(device)
        # (x / 255 - mean) / std as one multiplication and one subtraction; equal but for a float's last digit or two.
        std = torch.tensor(self.spec.std, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = torch.tensor(self.spec.mean, device=device).view(1, -1, 1, 1) / std
        _, width = self.spec.input_size or (1, 1)
        self._row_scale, self._row_shift = (values.flatten().repeat(width) for values in (self._scale, self._shift))

    def predict(self, images: "Sequence[Pixels]") -> list[bytes]:
        """Return one output (JSON) for each image.

        Images are (height, width, channels) as `decode` returns them. Raises OutOfMemory if the device has too little
        memory for so many, ModelError for scores that can't be used.
        """
        try:
            with self._lock, torch.inference_mode():
                scores = self._scores(images)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self.device != "cpu":
                torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error
        return scores_to_json(scores, labels=self.labels, top_k=self.top_k, names=self._names)

    def warm_up(self, batch_size: int) -> None:
        """Predict one image and a batch of noise: the first passes are slow, and should not be those of real images.

        Checks, too, that the version's scores fit its labels. Raises as `predict` does, except that a batch that needs
        too much memory is halved.
        """
        height, width = self.spec.input_size or (1, 1)
        shape = (batch_size, height, width, self.spec.mode.channels)
        # Noise, because models that divide by an image's own deviation would divide by zero for a uniform one.
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
        """Return (images, labels) float32: probabilities, or the raw scores if the metadata asks for those."""
        portions = [self._answers(self._normalised(part)) for part in self._portions(images)]
        scores = portions[0] if len(portions) == 1 else torch.cat(portions)
        # A fixed batch size may have filled up the last portion.
        scores = scores[: len(images)].float()
        if self._softmax and scores.ndim > 1:
            scores = scores.softmax(dim=1)
        found: NDArray[np.float32] = scores.cpu().numpy()
        return found

    def _answers(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the forward pass' scores; raises ModelError unless there is one row for each image."""
        scores = self._scores_of(batch)
        if scores.ndim == 0 or len(scores) != len(batch):
            raise ModelError(f"the model answers {len(batch)} images in the shape {[*scores.shape]}")
        return scores

    def _normalised(self, images: "Sequence[Pixels]") -> torch.Tensor:
        """Return (images, channels, height, width) float32 on the device."""
        height, width, channels = images[0].shape
        # Takes half the time of np.stack.
        batch = np.concatenate(images).reshape(len(images), height, width, channels)
        # Bytes are copied to the device and rearranged there: a quarter of the size of floats.
        if self.device != "cpu":
            planes = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).contiguous()
            return planes.float().mul_(self._scale).sub_(self._shift)
        # Channels-last, as the pixels are. By rows of (width x channels) values: three to six times as fast as by
        # channels, which lie beside each other.
        rows = torch.from_numpy(batch).view(len(images), height, width * channels).float()
        return rows.mul_(self._row_scale).sub_(self._row_shift).view(batch.shape).permute(0, 3, 1, 2)

    def _portions(self, images: "Sequence[Pixels]") -> "Iterator[Sequence[Pixels]]":
        """Yield the images in portions: of the fixed batch size, the last one filled up, else of a CPU's good size."""
        size = self._batch_size or (max(1, CPU_PORTION // images[0].size) if self.device == "cpu" else len(images))
        for start in range(0, len(images), size):
            part = images[start : start + size]
            missing = size - len(part) if self._batch_size else 0
            yield [*part, *[part[-1]] * missing] if missing else part


def _tensor(output: object) -> torch.Tensor:
    """Return a forward pass' output as a tensor: of several outputs `logits` or the first."""
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
    """Return the device's lock, which every model on it shares: while one thread computes, another decodes."""
    return threading.Lock()
