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
    """Add to a failed import what the model's requirements.txt, in its folder, names for it; other errors stay."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return
    requirement = required_package(error.name, folder)
    if requirement:
        error.add_note(
            f"the model's requirements.txt names {requirement}; install it where the workers run: "
            f"pip install '{requirement}'"
        )


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
