"""The forward pass of one version on a GPU: pixels in, scores out, as a CUDA graph where the model allows it."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from shared.domain.image import ImageSpec
from worker.models.devices import device_lock
from worker.models.forward_function import Forward
from worker.models.gpu.graphs import Graphs
from worker.models.gpu.precision import compute_fp32_as, number_type
from worker.models.gpu.streams import thread_stream
from worker.models.lost_device import end_process_if_lost
from worker.models.metadata.model_metadata import Precision
from worker.models.outputs.readers import OutputReader
from worker.models.own_modules import OwnModules
from worker.models.process_settings import kept_in_a_pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


class GpuForward:
    """Scores of micro-batches of one version. Threads may share it; the device's forward passes run one at a time.

    A thread copies its pixels to the device on a stream of its own, meanwhile others' are computed.
    """

    largest_pass: int | None = None
    enough: int | None = None

    def __init__(
        self,
        forward: Forward,
        *,
        spec: ImageSpec,
        device: str,
        reader: OutputReader,
        precision: Precision = Precision.FP32,
        channels_last: bool = True,
        batch_size: int | None = None,
    ) -> None:
        """`forward` takes (images, channels, height, width) in the precision; just `batch_size` images if that is set.

        Its module is in the memory format already. `reader` reads what it returns.
        """
        self._forward = forward
        self._device = device
        self._reader = reader
        self.own_modules: OwnModules | None = None
        self._precision = precision
        self._type = number_type(precision)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._batch_size = batch_size
        height, width = spec.input_size or (1, 1)
        self._shape = (spec.mode.channels, height, width)
        self._lock = device_lock(device)
        self._stream = _forward_stream(device)
        self._graphs = Graphs(self._pass, device=device, stream=self._stream)
        # (x / 255 - mean) / std as one multiplication and one subtraction; equal but for a float's last digit or two.
        std = torch.tensor(spec.std, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = torch.tensor(spec.mean, device=device).view(1, -1, 1, 1) / std

    def outputs(self, images: "Sequence[Pixels | torch.Tensor]", *, activate: bool = True) -> Any:
        """Return what the reader makes of the images' outputs, raw if `activate` is false.

        An image is uint8 (height, width, channels) in memory or (channels, height, width) on the device. Raises
        ModelError, and what torch and the model raise.
        """
        try:
            with thread_stream(self._device) as stream:
                batch = self._gathered(images)
                ready = stream.record_event()
                with self._lock, kept_in_a_pass(self.own_modules), torch.cuda.stream(self._stream):
                    self._stream.wait_event(ready)
                    if not self._reader.is_tensor or not activate:
                        portions = [self._read(part) for part in self._portions(batch)]
                        return self._reader.joined(portions, images=len(images), activate=activate)
                    scores = self._computed(batch)
                    found = torch.empty(scores.shape, dtype=torch.float32, pin_memory=True)
                    found.copy_(scores, non_blocking=True)
                    # Waits without spinning: the thread's core is another thread's meanwhile.
                    done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
                    done.record(self._stream)
                done.synchronize()
                return found.numpy()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            end_process_if_lost(self._device, error)
            raise

    def prepare(self, batch_size: int) -> None:
        """Capture a graph for 1, 2, 4, … `batch_size` images; a model that can't be captured runs without.

        Its memory is taken here, so that no forward pass runs out of it later. Raises torch.OutOfMemoryError if there
        is too little. What is not one tensor is read on the CPU, which no graph can hold.
        """
        if not self._reader.is_tensor:
            return
        if self._batch_size is not None:
            sizes = [self._batch_size]
        else:
            sizes = [1 << bit for bit in range(batch_size.bit_length()) if 1 << bit < batch_size] + [batch_size]
        noise = np.random.default_rng(0).integers(0, 256, (sizes[-1], *self._shape), dtype=np.uint8)
        with thread_stream(self._device) as stream:
            images = torch.from_numpy(noise).to(self._device)
            stream.synchronize()
        self._graphs.capture([images[:size] for size in sizes])

    def _gathered(self, images: "Sequence[Pixels | torch.Tensor]") -> torch.Tensor:
        """Return uint8 (images, channels, height, width) on the device, in order."""
        in_memory = [image for image in images if isinstance(image, np.ndarray)]
        if not in_memory:
            return torch.stack([image for image in images if isinstance(image, torch.Tensor)])
        pinned = torch.empty((len(in_memory), *in_memory[0].shape), dtype=torch.uint8, pin_memory=True)
        np.stack(in_memory, out=pinned.numpy())
        copied = pinned.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        if len(in_memory) == len(images):
            return copied
        rest = iter(copied.unbind())
        return torch.stack([next(rest) if isinstance(image, np.ndarray) else image for image in images])

    def _computed(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the scores of a batch of any size, on the forward passes' stream."""
        portions = [self._answers(part) for part in self._portions(batch)]
        return portions[0] if len(portions) == 1 else torch.cat(portions)

    def _portions(self, batch: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the batch in portions that one pass takes."""
        most = self._batch_size or self._graphs.largest or len(batch)
        yield from torch.split(batch, most)

    def _answers(self, part: torch.Tensor) -> torch.Tensor:
        """Return a portion's scores, of a graph where one has room for it."""
        scores = self._graphs.replayed(part)
        return self._pass(part)[: len(part)] if scores is None else scores

    def _filled_up(self, part: torch.Tensor) -> torch.Tensor:
        """Return a portion of the fixed batch size, with its last image repeated; as it is where there is none."""
        missing = (self._batch_size or len(part)) - len(part)
        return torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing > 0 else part

    def _pass(self, images: torch.Tensor) -> torch.Tensor:
        """Return (images, labels) float32: probabilities, or the raw scores if the metadata asks for those."""
        scores: torch.Tensor = self._reader.activated(self._read(images))
        return scores

    def _read(self, part: torch.Tensor) -> Any:
        """Return what the reader reads of a portion's output."""
        images = self._filled_up(part)
        values = images.float().mul_(self._scale).sub_(self._shift)
        compute_fp32_as(self._precision)
        output = self._forward(values.to(self._type, memory_format=self._layout))
        return self._reader.read(output, images=len(images))


@cache
def _forward_stream(device: str) -> torch.cuda.Stream:
    """Return the stream of a device's forward passes, which go before decoding and copies."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
