"""Loads CUDA's libraries while a worker still imports MLflow and reads the registry: seconds that would come after."""

import logging

import torch
from torch.nn.functional import conv2d

from worker.models.gpu.jpegs import nvjpeg
from worker.models.gpu.streams import thread_stream
from worker.models.reference_photographs import reference_photographs

log = logging.getLogger(__name__)


def warm_up_device(device: str) -> None:
    """Compute a convolution and a product in each number format, and decode a JPEG; called in a thread of its own.

    A device that can't is no error here: loading a version will say so.
    """
    try:
        with thread_stream(device) as stream:
            for kind in (torch.float32, torch.float16):
                images = torch.zeros(2, 8, 32, 32, device=device, dtype=kind).to(memory_format=torch.channels_last)
                scores = conv2d(images, torch.zeros(8, 8, 3, 3, device=device, dtype=kind)).flatten(1)
                scores @ scores.T
            decode = nvjpeg()
            if decode is not None:
                decode(reference_photographs()[:1], device)
            stream.synchronize()
    except RuntimeError as error:
        log.warning("device_not_warmed", extra={"device": device, "reason": str(error).partition("\n")[0][:300]})
