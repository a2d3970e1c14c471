"""Register a known architecture with the user's weights, or an ONNX file, as the next version of a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cli.given_files import MIB, read_given
from cli.home import command_line
from cli.models.architectures import Architecture, onnx_file, timm_model, torchvision_model
from cli.models.long_wait import reporting_progress
from cli.models.register_once import register_once
from cli.models.registered import refusing
from cli.registry import connect
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.domain.task import TASKS_OF

LARGEST_LABELS: Final = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be registered: exactly one of `torchvision`, `timm` and `onnx`, and what is said of it."""

    torchvision: str | None
    timm: str | None
    onnx: Path | None
    weights: Path | None
    random: bool
    labels: Path | None
    task: str | None
    size: str | None
    pad: str | None
    fill: int | None
    mode: str | None
    raw_boxes: str | None
    threshold: float | None


def add(home: Path, name: str, wanted: Wanted) -> None:
    """Register a version and say how it is tried and promoted; raises Refused where something does not fit.

    Safe to repeat: the same weights and settings are the same version. Random weights are another version each time.
    """
    if sum(one is not None for one in (wanted.torchvision, wanted.timm, wanted.onnx)) != 1:
        raise Refused("Say what to add, once: --torchvision NAME, --timm NAME or --onnx FILE.")
    if wanted.onnx is None and (wanted.weights is None) != wanted.random:
        raise Refused("Say which weights: --weights FILE, or --random for random ones, which answer anything.")
    if wanted.onnx is not None and (wanted.weights is not None or wanted.random):
        raise Refused("An ONNX file has its weights: leave out --weights and --random.")
    if not name.strip() or {"/", ":"} & set(name):
        raise Refused(f"{name!r} can't be a model's name: it has to have characters, and no '/' or ':' among them.")
    if wanted.onnx is None and wanted.mode == "L":
        raise Refused("This architecture takes pictures of three channels, which --mode L does not give.")
    image = {"pad": wanted.pad, "fill": wanted.fill, "mode": wanted.mode}
    given = {
        "labels": read_labels(wanted.labels),
        "task": wanted.task,
        "size": _size(wanted.size),
        "image": {name: value for name, value in image.items() if value is not None},
        "raw_boxes": wanted.raw_boxes,
        "threshold": wanted.threshold,
    }
    weights = _existing(wanted.weights) if wanted.weights else None
    graph = _existing(wanted.onnx) if wanted.onnx else None
    # After the checks above: MLflow takes seconds to be imported, and so does torch.
    client = connect(home)
    with reporting_progress(f"Still making a version of {name}"):
        if graph is not None:
            made = onnx_file(graph, given)
        elif wanted.torchvision is not None:
            made = torchvision_model(wanted.torchvision, weights, given)
        else:
            made = timm_model(str(wanted.timm), weights, given)
        _check_use(made.metadata["task"], given)
        with refusing():
            number, is_new = register_once(
                client, name, _content(wanted, made), partial(_log, made), may_be_registered=not wanted.random
            )
    labels = made.metadata.get("labels") or ()
    answers = f"{made.metadata['task']}, {len(labels)} labels" if labels else made.metadata["task"]
    begun = f"Registered version {number} of {name}" if is_new else f"Version {number} of {name} is this already"
    say(f"{begun}: {answers}, image {made.metadata['image']}.")
    say(f"Try it:         {command_line(f'models check {name}:{number} --image FILE', home)}")
    say(f"Let it serve:   {command_line(f'models promote {name} {number}', home)}")


def _check_use(task: str, given: Mapping[str, Any]) -> None:
    """Raise Refused for an option that means nothing for the task: whoever gave it expects it to do something."""
    for option, value in given.items():
        tasks = TASKS_OF.get(option)
        if value is not None and tasks is not None and task not in tasks:
            raise Refused(
                f"--{option.replace('_', '-')} means nothing for the task {task}: it is of {', '.join(tasks)}."
            )


def read_labels(file: Path | None) -> list[str] | None:
    """Return a file's labels, one a line in the order of the scores; None where no file is given. Raises Refused."""
    if file is None:
        return None
    try:
        # -sig: editors of Windows begin a file with a mark, which would belong to the first label.
        lines = read_given(_existing(file), most=LARGEST_LABELS).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Refused(f"{file} is no text in UTF-8.") from None
    labels = [line.strip() for line in lines if line.strip()]
    if not labels:
        raise Refused(f"{file} has no labels: write one a line, in the order of the model's scores.")
    return labels


def _size(text: str | None) -> tuple[int, int] | None:
    """Return `224` or `48x192` as height and width."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):  # noqa: PLR2004
        raise Refused(f"--size is a side in pixels, as 224, or HEIGHTxWIDTH, as 48x192; not {text!r}.")
    return int(sides[0]), int(sides[-1])


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise Refused(f"{file} is not a file.")
    return file


def _content(wanted: Wanted, made: Architecture) -> dict[str, Any]:
    """Return all that makes a model what it is: other versions of its packages may export another graph."""
    return {
        "architecture": [wanted.torchvision, wanted.timm],
        "files": [_sha256(file) for file in made.files],
        "metadata": made.metadata,
        "packages": {package: version(package) for package in made.packages},
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _log(made: Architecture) -> None:
    """Log a model as an exported graph, which needs no pickle; pickled where it can't be exported, which is said."""
    try:
        made.log("pt2")
    except Exception as error:  # noqa: BLE001  torch.export raises all kinds of errors for what it can't trace
        say(f"It can't be exported as a graph ({type(error).__name__}): logged pickled, which is slower to load.")
        made.log("pickle")
