"""Tells a GPU that has failed from a call that has: after some CUDA errors all later calls of the process fail."""

import logging
import os

import torch

from worker.process.exit_statuses import DEVICE_LOST_EXIT

log = logging.getLogger(__name__)


def end_process_if_lost(device: str, error: BaseException) -> None:
    """End the process at once if, after this error, the device computes nothing for it any more.

    An illegal address or a failed assertion inside a kernel leaves the process' CUDA context unusable (CUDA C++
    Programming Guide, "Error Checking"): each image that came later would fail. No image is lost: what the process had
    in hand stays pending until its leases end, then runs elsewhere, each image alone and decoded by Pillow.
    """
    if _answers(device):
        return
    log.critical("device_lost", extra={"device": device, "reason": str(error).partition("\n")[0]})
    logging.shutdown()
    os._exit(DEVICE_LOST_EXIT)


def _answers(device: str) -> bool:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # nothing was computed there yet
        return True
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        return "out of memory" in str(error)
    return True
