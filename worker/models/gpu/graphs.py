"""CUDA graphs of a forward pass, one for each of a few batch sizes: all kernels of a pass start at once.

Started one by one they take longer than a small batch computes. Whether a model's passes can be graphs is found out
before one is captured: where a capture fails, torch 2.11 counts it as under way for good, after which no other version
of the process can be captured, and keeps its memory until the process ends (pytorch pull requests 180395, 190348).
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worker.models.devices import device_lock
from worker.models.lost_device import end_process_if_lost

log = logging.getLogger(__name__)

Pass = Callable[[torch.Tensor], torch.Tensor]
"""Returns the scores of uint8 (images, channels, height, width)."""
_PAUSE: Final = 0.002
"""Seconds between two captures."""
_ATTEMPTS: Final = 2
"""Another thread's call may break a capture off, such as one that waits for all of the device."""
_SAME: Final = 0.05
"""Difference between a graph's scores and the pass' own, beside the largest score: more than bf16 loses by rounding."""
_COPIES: Final = {"aten::_to_copy": 0, "aten::copy_": 1}
"""Operations that copy, with the place of what is copied among their arguments."""
_INDEXING: Final = "aten::index.Tensor"


class NotCapturable(Exception):
    """A graph can't hold a model's passes: it would stop at one of them, or answer otherwise than they do."""


class Graph(NamedTuple):
    """A captured forward pass: write `images`, replay, read `scores`."""

    graph: torch.cuda.CUDAGraph
    images: torch.Tensor
    scores: torch.Tensor


class Graphs:
    """The graphs of one version's forward pass. `replayed` is called with the device's lock, on the passes' stream."""

    def __init__(self, run: Pass, *, device: str, stream: torch.cuda.Stream) -> None:
        self._run = run
        self._device = device
        self._stream = stream
        self._lock = device_lock(device)
        self._graphs: dict[int, Graph] = {}

    @property
    def largest(self) -> int | None:
        """Images of the largest graph; None where there is none."""
        return max(self._graphs, default=None)

    def replayed(self, part: torch.Tensor) -> torch.Tensor | None:
        """Return scores by the smallest graph that has room, whose other rows are not looked at; None without one."""
        count = len(part)
        graph = next((self._graphs[size] for size in sorted(self._graphs) if size >= count), None)
        if graph is None:
            return None
        graph.images[:count].copy_(part)
        graph.graph.replay()
        # The next replay overwrites the rows, and a batch may have several portions.
        return graph.scores[:count].clone()

    def capture(self, batches: Sequence[torch.Tensor]) -> None:
        """Capture a graph for each of these batches, the smallest first; none, with one log line, where one can't be.

        The device's lock is given up in between. Raises torch.OutOfMemoryError, and has no graph then.
        """
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._graphs = self._captured(batches)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001  whatever a model does that no graph can hold
                end_process_if_lost(self._device, error)
                if left and not isinstance(error, NotCapturable):
                    continue
                facts = {"batch_size": len(batches[-1]), "reason": str(error).partition("\n")[0][:300]}
                log.warning("graph_not_captured", extra=facts)
            return

    def _captured(self, batches: Sequence[torch.Tensor]) -> dict[int, Graph]:
        self._graphs = {}
        self._in_turn(partial(self._check, batches[0]))
        if len(batches) > 1:
            # By itself, and dropped: what fails here keeps the memory of the smallest pass, not of the largest.
            self._in_turn(partial(self._graph, batches[0], torch.cuda.graph_pool_handle()))
        pool = torch.cuda.graph_pool_handle()
        found = [self._in_turn(partial(self._graph, batch, pool)) for batch in reversed(batches)]
        for graph, expected in found:
            self._in_turn(partial(_compare, graph, expected))
        return {len(graph.images): graph for graph, _ in found}

    def _in_turn(self, step: Callable[[], Any]) -> Any:
        """Do one step with the lock: images of the version that serves are computed between two of them."""
        # For threads that wait with images: a lock that is taken again at once does not reach them.
        time.sleep(_PAUSE)
        with torch.inference_mode(), self._lock, torch.cuda.stream(self._stream):
            return step()

    def _check(self, images: torch.Tensor) -> None:
        # Without inference mode, in which some operations would hide those that they consist of.
        with torch.inference_mode(mode=False), torch.no_grad(), _NeverWaiting():  # type: ignore[no-untyped-call]
            self._run(images.clone())

    def _graph(self, images: torch.Tensor, pool: Any) -> tuple[Graph, torch.Tensor]:
        """Return a graph for batches of this size, and the scores of this batch without it."""
        images = images.clone()
        self._run(images)
        expected = self._run(images)
        graph, errors = torch.cuda.CUDAGraph(), list[BaseException]()
        try:
            # Other threads may allocate meanwhile, which another mode would forbid them.
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                try:
                    scores = self._run(images)
                except BaseException as error:
                    errors.append(error)
                    raise
        except BaseException as error:  # noqa: BLE001  raised again below
            with suppress(RuntimeError):  # where torch has ended it itself
                torch._C._cuda_endAllocateToPool(self._stream.device_index, pool)  # noqa: SLF001
            # Ending a capture that failed raises once more, and says less.
            first = errors.pop() if errors else error
            try:
                raise first from None
            finally:
                del first  # by this frame the error would hold itself, and what the pass has allocated
        return Graph(graph, images, scores), expected


class _NeverWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises NotCapturable for an operation that waits for the device, to know a value or a shape or to copy."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
        if func.name() == _INDEXING:  # by a mask it waits, by numbers it does not
            waits = any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])
        if waits:
            raise NotCapturable(f"{func.name()} waits for the device")
        found = func(*args, **(kwargs or {}))
        place = _COPIES.get(func.name())
        if place is not None and args[place].device.type != found.device.type:
            raise NotCapturable(f"{func.name()} copies between the device and memory")
        return found


def _compare(graph: Graph, expected: torch.Tensor) -> None:
    """Raise NotCapturable where a graph answers otherwise than the pass that was captured.

    A model may keep a tensor between passes and replace it, or draw random numbers.
    """
    graph.graph.replay()
    scores, wanted = (torch.nan_to_num(one.double(), posinf=0, neginf=0) for one in (graph.scores, expected))
    if bool((scores - wanted).abs().max() > _SAME * wanted.abs().max()):
        raise NotCapturable("its graph gives other scores")
