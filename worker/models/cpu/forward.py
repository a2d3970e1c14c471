"""The forward pass of one version on a CPU: pixels in, the model's output out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from shared.domain.image import ImageSpec
from worker.models.cpu.channels_last import ChannelsLast
from worker.models.devices import device_lock
from worker.models.forward_function import Forward
from worker.models.outputs.readers import OutputReader
from worker.models.own_modules import OwnModules
from worker.models.process_settings import kept_in_a_pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PORTION: Final = 2_500_000
"""Input values of one forward pass: 10 MB, 16 images of 224x224.

mobilenet_v3_small costs 2.3 ms an image in portions of 8, 1.7 in portions of 16, 32 or 64, which take more memory.
"""


class CpuForward:
    """Outputs of micro-batches of one version. Threads may share it; the process computes one micro-batch at a time."""

    def __init__(
        self,
        forward: Forward,
        *,
        spec: ImageSpec,
        reader: OutputReader,
        batch_size: int | None = None,
        module: torch.nn.Module | None = None,
    ) -> None:
        """`forward` takes float32 (images, channels, height, width), `batch_size` of them if set.

        `reader` reads what it returns. `module`, where there is one, has its weights.
        """

        def read(batch: torch.Tensor) -> Any:
            return reader.read(forward(batch), images=len(batch))

        def read_contiguous(batch: torch.Tensor) -> Any:
            return read(batch.contiguous())

        self._read: Callable[[torch.Tensor], Any] = (
            ChannelsLast(read, module=module) if reader.is_comparable else read_contiguous
        )
        self._reader = reader
        self.own_modules: OwnModules | None = None
        self._batch_size = batch_size
        height, width = spec.input_size or (1, 1)
        self.enough: int | None = max(1, PORTION // (height * width * spec.mode.channels))
        self.largest_pass: int | None = batch_size or self.enough
        self._lock = device_lock("cpu")
        # (x / 255 - mean) / std as one multiplication and one subtraction; equal but for a float's last digit or two.
        # By rows of (width x channels) values: three to six times as fast as by channels, which lie beside each other.
        std = torch.tensor(spec.std)
        self._scale = (1 / (255 * std)).repeat(width)
        self._shift = (torch.tensor(spec.mean) / std).repeat(width)

    def prepare(self, batch_size: int) -> None:
        """Do nothing: a CPU needs no preparation for batches of this size."""

    def outputs(self, images: "Sequence[Pixels]", *, activate: bool = True) -> Any:
        """Return what the reader makes of the images' outputs, raw if `activate` is false.

        Images are uint8 (height, width, channels). Raises ModelError, and what torch and the model raise.
        """
        with self._lock, kept_in_a_pass(self.own_modules), torch.inference_mode():
            portions = [self._read(self._normalised(part)) for part in self._portions(images)]
            # A fixed batch size may have filled up the last portion.
            return self._reader.joined(portions, images=len(images), activate=activate)

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
