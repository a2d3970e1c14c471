"""The device that models compute on: which one, and how much memory it has."""

import threading
from functools import cache

import torch

from shared.settings import SettingsError


def choose_device(setting: str) -> str:
    """Return the setting's device, for `auto` cuda where there is one and else cpu; raises SettingsError."""
    if setting != "auto":
        try:
            torch.empty(0, device=setting)
        except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
            raise SettingsError(f"DARKROOM_PREDICT_DEVICE: {str(error).splitlines()[0]} (it is {setting!r})") from None
        return setting
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_memory(device: str) -> dict[str, int]:
    """Return a GPU's memory in bytes, nothing for a CPU.

    `allocated` to tensors and `reserved` by torch are this process', `free` and `total` the device's.
    """
    if not is_gpu(device):
        return {}
    free, total = torch.cuda.mem_get_info(device)
    allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return {"allocated": allocated, "reserved": reserved, "free": free, "total": total}


def device_facts(device: str) -> dict[str, str | int] | None:
    """Return a GPU's name and memory as the process publishes them; None for a CPU."""
    if not is_gpu(device):
        return None
    memory = device_memory(device)
    return {"name": torch.cuda.get_device_name(device)} | {f"{kind}_bytes": size for kind, size in memory.items()}


def is_gpu(device: str) -> bool:
    """Tell whether a device, as `choose_device` returns it, is a GPU."""
    return device.startswith("cuda")


@cache
def device_lock(device: str) -> threading.Lock:  # noqa: ARG001  it is the cache's key
    """Return the device's lock, which every version on it shares: forward passes are started one after another."""
    return threading.Lock()
