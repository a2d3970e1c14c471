"""What all cases of a run share: folders, how much to do, and what the bare loop found each image to be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.amounts import Amounts

DIGITS = "digits"
MOBILENET = "mobilenet"


class WrongResult(Exception):
    """The measured run was wrong: rows are missing, or classes differ from the bare loop's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One kind of work: a model, and images for it. `folder` holds the exported model as MLflow keeps it."""

    name: str
    model: Path
    images: Path
    distinct: int


@dataclass(kw_only=True)
class Workbench:
    """One run. `folder` holds models and images, perhaps for later runs too; `scratch` all the rest."""

    folder: Path
    scratch: Path
    amounts: Amounts
    cores: int
    say: Callable[[str], None]
    stamps: Iterable[int] = field(default_factory=lambda: count(1))
    classes: dict[str, list[str]] = field(default_factory=dict)
    """By subject: the bare loop's class of each different image."""

    def stamp(self) -> int:
        """Return a number that no plan has had, so that its images are in no cache."""
        return next(iter(self.stamps))

    def new_file(self, name: str) -> Path:
        """Return a path for a measuring process to write to."""
        return self.scratch / f"{name}-{self.stamp()}.json"
