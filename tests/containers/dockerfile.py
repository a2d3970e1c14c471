"""What a Dockerfile says, read as Docker reads it: as much of the language as ours use, and an error beyond that."""

import re
import shlex
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One line: `RUN`, its flags as (name, value), and the rest with its variables in it."""

    word: str
    flags: tuple[tuple[str, str], ...]
    text: str


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        """Return the instructions that begin with `word`."""
        return [instruction for instruction in self.instructions if instruction.word == word]


def read_stages(file: Path) -> dict[str, Stage]:
    """Return the stages by name, in order; one without a name has its number."""
    stages: dict[str, Stage] = {}
    for instruction in _instructions(file.read_text()):
        if instruction.word == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            stage = Stage(name or str(len(stages)), base)
            stages[stage.name] = stage
        else:
            stage.instructions.append(instruction)
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, rest = line.split(maxsplit=1)
        flags = []
        while match := _FLAG.match(rest):
            flags.append((match[1], match[2]))
            rest = rest[match.end() :]
        found.append(Instruction(word, tuple(flags), rest))
    return found


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace `$NAME` and `${NAME}`, as Docker does in ENV, COPY, WORKDIR and USER."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], ""), text)


def assignments(text: str) -> list[tuple[str, str]]:
    """Return the pairs of `A=1 B="2 3"`."""
    return [(name, value) for name, _, value in (word.partition("=") for word in shlex.split(text))]


class Context:
    """The folder that is sent to the builder, less what its .dockerignore leaves out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (folder / ".dockerignore").read_text().splitlines()
        self._rules = [
            (not line.startswith("!"), self._pattern(line.lstrip("!").rstrip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    @staticmethod
    def _pattern(glob: str) -> re.Pattern[str]:
        """Match a path or anything below it; `**/` also matches nothing."""
        prefix, rest = ("(?:.*/)?", glob[3:]) if glob.startswith("**/") else ("", glob)
        one_level = translate(rest).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")
        return re.compile(f"{prefix}{one_level}(?:/.*)?", re.DOTALL)

    def sends(self, path: str) -> bool:
        """Tell whether a path in the folder is sent: the last rule that matches it decides."""
        left_out = False
        for leaves_out, pattern in self._rules:
            if pattern.fullmatch(path):
                left_out = leaves_out
        return not left_out

    def files(self, below: str) -> list[str]:
        """Return the files that are sent at or below a path; raises FileNotFoundError where there are none."""
        start = self.folder / below
        there = [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
        sent = sorted(name for name in (str(path.relative_to(self.folder)) for path in there) if self.sends(name))
        if not sent:
            raise FileNotFoundError(f"COPY {below}: nothing of it is sent to the builder")
        return sent
