"""The order in which the weights of convolutions lie in memory."""

import torch


def put_in_format(module: torch.nn.Module, format: torch.memory_format) -> None:
    """Put a module's parameters and buffers of four dimensions into a memory format; copies only those in another.

    `Module.to(memory_format=...)` also tries those of five dimensions, which raises for channels-last: a network with
    one convolution over time as well would be served nowhere.
    """

    def in_format(one: torch.Tensor) -> torch.Tensor:
        return one.contiguous(memory_format=format) if one.ndim == 4 else one  # noqa: PLR2004  a convolution's

    with torch.inference_mode(mode=False):
        module._apply(in_format)  # type: ignore[no-untyped-call]  # noqa: SLF001  `Module.to` is this
