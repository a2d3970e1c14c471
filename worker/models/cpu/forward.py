"""The forward pass of one version on a CPU: pixels in, scores out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from shared.domain.image import ImageSpec
from worker.models.cpu.channels_last import ChannelsLast
from worker.models.devices import device_lock
from worker.models.scores import checked_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Forward = Callable[[torch.Tensor], object]
"""Takes float32 (images, channels, height, width), gives one row of scores an image."""

PORTION: Final = 2_500_000
"""Input values of one forward pass: 10 MB, 16 images of 224x224.

mobilenet_v3_small costs 2.3 ms an image in portions of 8, 1.7 in portions of 16, 32 or 64, which take more memory.
"""


class CpuForward:
    """Scores of micro-batches of one version. Threads may share it; the process computes one micro-batch at a time."""

    def __init__(
        self,
        forward: Forward,
        *,
        spec: ImageSpec,
        softmax: bool,
        batch_size: int | None = None,
        module: torch.nn.Module | None = None,
    ) -> None:
        """`forward` takes float32 (images, channels, height, width), `batch_size` of them if set.

        `module`, where there is one, has its weights.
        """

        def scores_of(batch: torch.Tensor) -> torch.Tensor:
            return checked_scores(forward(batch), images=len(batch))

        self._scores_of = ChannelsLast(scores_of, module=module)
        self._softmax = softmax
        self._batch_size = batch_size
        height, width = spec.input_size or (1, 1)
        self.largest_pass: int | None = batch_size or max(1, PORTION // (height * width * spec.mode.channels))
        self._lock = device_lock("cpu")
        # (x / 255 - mean) / std as one multiplication and one subtraction; equal but for a float's last digit or two.
        # By rows of (width x channels) values: three to six times as fast as by channels, which lie beside each other.
        std = torch.tensor(spec.std)
        self._scale = (1 / (255 * std)).repeat(width)
        self._shift = (torch.tensor(spec.mean) / std).repeat(width)

    def prepare(self, batch_size: int) -> None:
        """Do nothing: a CPU needs no preparation for batches of this size."""

    def scores(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return (images, labels) float32: probabilities, or the raw scores if the metadata asks for those.

        Images are uint8 (height, width, channels). Raises ModelError, and what torch and the model raise.
        """
        with self._lock, torch.inference_mode():
            portions = [self._scores_of(self._normalised(part)) for part in self._portions(images)]
            scores = portions[0] if len(portions) == 1 else torch.cat(portions)
            # A fixed batch size may have filled up the last portion.
            scores = scores[: len(images)].float()
            if self._softmax and scores.ndim > 1:
                scores = scores.softmax(dim=1)
            found: NDArray[np.float32] = scores.cpu().numpy()
            return found

    def _normalised(self, images: "Sequence[Pixels]") -> torch.Tensor:
        """Return float32 (images, channels, height, width), channels-last as the pixels are."""
        height, width, channels = images[0].shape
        # Takes half the time of np.stack.
        batch = np.concatenate(images).reshape(len(images), height, width, channels)
        rows = torch.from_numpy(batch).view(len(images), height, width * channels).float()
        return rows.mul_(self._scale).sub_(self._shift).view(batch.shape).permute(0, 3, 1, 2)

    def _portions(self, images: "Sequence[Pixels]") -> "Iterator[Sequence[Pixels]]":
        """Yield the images in portions: of the fixed batch size, the last one filled up, else of a good size."""
        size = self._batch_size or max(1, PORTION // images[0].size)
        for start in range(0, len(images), size):
            part = images[start : start + size]
            missing = size - len(part) if self._batch_size else 0
            yield [*part, *[part[-1]] * missing] if missing else part
