"""Images built from our Dockerfiles without Docker: each line is executed unchanged, in a root of its own."""

import json
import shutil
import subprocess
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from tests.containers import machine
from tests.containers.dockerfile import Context, Instruction, Stage, assignments, expand, read_stages
from tests.containers.enclosed import Enclosed, Specification, Volume

_LONGEST_RUN_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a container starts from."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": machine.PATH, "LANG": "C.UTF-8"})
    workdir: str = "/"
    uid: int = 0
    gid: int = 0
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    shown: list[tuple[str, str]] = field(default_factory=machine.shown)

    def run(self, command: list[str], scratch: Path, *, seconds: float = 120) -> str:
        """Run a command in a container that may write to /tmp alone; return its output, raise where it fails."""
        return _run(self, command, scratch, seconds=seconds, tmpfs={"/tmp": "mode=1777"}, read_only=True)  # noqa: S108


class Builder:
    """Builds stages of one Dockerfile into `folder`, each once."""

    def __init__(self, dockerfile: Path, folder: Path) -> None:
        self._context = Context(dockerfile.parent)
        self._stages = read_stages(dockerfile)
        self._folder = folder
        self._arguments: dict[str, str] = {}
        self._built: dict[str, Image] = {}

    def with_arguments(self, folder: Path, **arguments: str) -> Self:
        """Return a builder with these build arguments; stages that no argument touches it need not build again."""
        other = copy(self)
        other._folder, other._arguments = folder, arguments
        other._built = {name: image for name, image in self._built.items() if not self._takes_arguments(name)}
        return other

    def _takes_arguments(self, name: str) -> bool:
        stage = self._stages[name]
        before = [stage.base, *(dict(line.flags).get("from", "") for line in stage.all("COPY"))]
        return bool(stage.all("ARG")) or any(self._takes_arguments(one) for one in before if one in self._stages)

    def build(self, target: str = "") -> Image:
        """Return the image of a stage, the last one if none is named; raises BuildFailed."""
        name = target or list(self._stages)[-1]
        if name not in self._built:
            self._built[name] = self._build(self._stages[name])
        return self._built[name]

    def _build(self, stage: Stage) -> Image:
        root = self._folder / stage.name / "root"
        root.parent.mkdir(parents=True)
        if stage.base in self._stages:
            base = self.build(stage.base)
            subprocess.run(("cp", "--archive", "--reflink=auto", str(base.root), str(root)), check=True)
            image = replace(base, root=root)
        else:
            root.mkdir()
            machine.make_root(root)
            image = Image(root=root)
        arguments: dict[str, str] = {}
        for instruction in stage.instructions:
            image = self._carry_out(instruction, image, arguments)
        return image

    def _carry_out(self, instruction: Instruction, image: Image, arguments: dict[str, str]) -> Image:
        """Return the image after one line."""
        text = expand(instruction.text, arguments | image.environment)
        match instruction.word:
            case "ARG":
                name, _, default = instruction.text.partition("=")
                arguments[name] = self._arguments.get(name, default)
            case "COPY":
                self._copy(instruction, text, image)
            case "RUN":
                self._run(instruction, image, arguments)
            case "WORKDIR":
                (image.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
                return replace(image, workdir=text)
            case "ENV":
                return replace(image, environment=image.environment | dict(assignments(text)))
            case word:
                return replace(image, **_said_of_image(word, text))
        return image

    def _copy(self, instruction: Instruction, text: str, image: Image) -> None:
        *sources, target = text.split()
        place = (
            image.root / image.workdir.lstrip("/") / target if not target.startswith("/") else image.root / target[1:]
        )
        stage = dict(instruction.flags).get("from")
        for source in sources:
            if stage:
                place.mkdir(parents=True, exist_ok=True)
                # Linked, not copied: torch's image has 5 GB, and nobody writes to them.
                tree = self.build(stage).root / source.lstrip("/")
                subprocess.run(("cp", "--archive", "--link", f"{tree}/.", str(place)), check=True)
                continue
            for name in self._context.files(source):
                inside = Path(name).relative_to(source) if name != source else Path(name).name
                (place / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self._context.folder / name, place / inside)

    def _run(self, instruction: Instruction, image: Image, arguments: dict[str, str]) -> None:
        seen, variables = machine.for_builder()
        for flag, value in instruction.flags:
            settings = dict(part.split("=") for part in value.split(","))
            if flag != "mount" or settings["type"] != "cache":
                raise NotImplementedError(f"--{flag}={value}")
            kept = Path.home() / ".cache" / Path(settings["target"]).name
            kept.mkdir(parents=True, exist_ok=True)
            seen.append(Volume(source=str(kept), target=settings["target"]))
        environment = {"HOME": "/root"} | variables | arguments | image.environment
        # Without the home that the image gives its user: pip reads its settings from root's.
        _run(
            replace(image, environment=environment | {"HOME": "/root"}),
            ["/bin/sh", "-c", instruction.text],
            image.root.parent,
            seconds=_LONGEST_RUN_SECONDS,
            volumes=seen,
        )


class BuildFailed(Exception):
    """A command failed; `said` is its output."""

    def __init__(self, command: list[str], said: str) -> None:
        self.said = said
        super().__init__(f"{command}: {said}")


def _run(
    image: Image,
    command: list[str],
    scratch: Path,
    *,
    seconds: float,
    volumes: list[Volume] | None = None,
    tmpfs: dict[str, str] | None = None,
    read_only: bool = False,
) -> str:
    specification = Specification(
        root=str(image.root), command=command, environment=image.environment, workdir=image.workdir,
        uid=image.uid, gid=image.gid, shown=image.shown, volumes=volumes or [], tmpfs=tmpfs or {}, read_only=read_only,
    )  # fmt: skip
    (scratch / "log").unlink(missing_ok=True)
    program = Enclosed(specification, scratch)
    try:
        status = program.wait(seconds=seconds)
    finally:
        program.kill()
    if status != 0:
        raise BuildFailed(command, program.said())
    return program.said()


def _said_of_image(word: str, text: str) -> dict[str, Any]:
    """Return what a line that changes no file says of the image; one that this knows nothing of is an error."""
    match word:
        case "USER":
            uid, gid = (int(number) for number in text.split(":"))
            return {"uid": uid, "gid": gid}
        case "CMD":
            return {"command": json.loads(text)}
        case "HEALTHCHECK":
            return {"healthcheck": ["CMD", *json.loads(text.removeprefix("CMD "))]}
        case "STOPSIGNAL":
            return {"stop_signal": text}
        case "EXPOSE":
            return {}
    raise NotImplementedError(word)
