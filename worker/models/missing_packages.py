"""Which package of a model's requirements.txt has the module that could not be imported."""

import re
from pathlib import Path
from typing import Final

_NAMED_OTHERWISE: Final = {
    "cv2": ("opencv-python", "opencv-python-headless"),
    "PIL": ("pillow",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "yaml": ("pyyaml",),
}
"""Packages of modules that are not called as their package is."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def note_missing_package(error: BaseException, folder: Path) -> None:
    """Add to a failed import what the model's requirements.txt, in its folder, names for it; other errors stay.

    Also where it is what caused the error: MLflow tells it in one of its own where a model's code is run.
    """
    found = missing_module(error)
    if found is not None and found.name and (requirement := required_package(found.name, folder)):
        found.add_note(
            f"the model's requirements.txt names {requirement}; install it where the workers run: "
            f"pip install '{requirement}'"
        )


def missing_module(error: BaseException) -> ModuleNotFoundError | None:
    """Return the failed import that an error is, or that caused it; None where there is none."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ModuleNotFoundError):
        found = found.__cause__
    return found


def required_package(module: str, folder: Path) -> str:
    """Return the line of a folder's requirements.txt that names the module's package; empty where none does."""
    top = module.partition(".")[0]
    wanted = {_normalised(name) for name in (top, *_NAMED_OTHERWISE.get(top, ()))}
    try:
        lines = (folder / "requirements.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named = ((line.strip(), _NAME.match(line.strip())) for line in lines)
    return next((line for line, name in named if name and _normalised(name[0]) in wanted), "")


def _normalised(name: str) -> str:
    """Return a package's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
