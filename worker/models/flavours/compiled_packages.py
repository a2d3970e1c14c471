"""AOTInductor packages: an exported program compiled to a shared library, in an archive named `.pt2` too.

They are native code: opening one runs what its author compiled. So they are served only where the setting
DARKROOM_PREDICT_NATIVE_CODE allows it.
"""

import os
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils._pytree import tree_map_only

from shared.settings import Predict, read
from worker.models.devices import is_gpu
from worker.models.errors import ModelError
from worker.models.forward_function import Forward

_COMPILED: Final = "data/aotinductor/"
"""The folder of an archive's shared libraries, after a first folder of any name."""
_CHECKS: Final = "AOTI_RUNTIME_CHECK_INPUTS"
"""With this variable a package compares its input with what it was compiled for; without, it reads out of bounds."""


def is_compiled_package(file: Path) -> bool:
    """Tell an AOTInductor package, which has shared libraries, from an exported program: both are named `.pt2`."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    return any(_COMPILED in name or name.endswith(".so") for name in names)


def load_compiled(file: Path, *, device: str) -> Forward:
    """Return the forward pass of a package; raises ModelError where it is not allowed, or compiled for another machine.

    What it was compiled for is read from the archive before any of its code is loaded.
    """
    if not read(Predict).native_code:
        raise ModelError(
            f"data/{file.name} is an AOTInductor package, which is native code: set DARKROOM_PREDICT_NATIVE_CODE=true "
            "where you trust whoever registers models, or log the exported program that it was made of"
        )
    _check_target(file, device=device)
    os.environ[_CHECKS] = "1"  # read once by each package, when it runs first
    compiled: Any = torch._inductor.aoti_load_package(str(file))  # noqa: SLF001  the name that torch documents

    def forward(batch: torch.Tensor) -> object:
        """Compute a batch in memory; one image alone goes in twice: a dynamic dimension is compiled for two and more.

        A package for a GPU takes and gives tensors on it.
        """
        if len(batch) > 1:
            return tree_map_only(torch.Tensor, torch.Tensor.cpu, compiled(batch.to(device)))
        twice = compiled(batch.repeat(2, 1, 1, 1).to(device))
        return tree_map_only(torch.Tensor, lambda rows: rows[:1].cpu(), twice)

    return forward


def _check_target(file: Path, *, device: str) -> None:
    reader: Any = torch._C._aoti.AOTIModelPackageLoader  # noqa: SLF001  nothing public reads this without loading
    facts: dict[str, str] = reader.load_metadata_from_package(str(file), "model")
    wanted, here = facts.get("AOTI_DEVICE_KEY", ""), "cuda" if is_gpu(device) else "cpu"
    if wanted != here:
        raise ModelError(
            f"data/{file.name} is compiled for {wanted or 'an unknown device'}, and this worker has {here}"
        )
    needs, has = facts.get("AOTI_CPU_ISA", "").partition(" ")[0], torch.backends.cpu.get_cpu_capability()
    if here == "cpu" and needs == "AVX512" and not has.startswith("AVX512"):
        raise ModelError(f"data/{file.name} is compiled for {needs}, and this machine's processor has {has}")
