"""What a bulk upload holds: its images, and the files beside them that are left out."""

from dataclasses import dataclass, field
from typing import Final

from api.schemas.bounds import LONGEST_SKIPPED_NAME, MOST_SKIPPED_NAMES
from shared.domain.file_names import is_clutter, showable_name
from shared.domain.identifiers import PredictionId

LONGEST_NAME: Final = 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a bulk upload, whatever it came in.

    `problem` says in words why it could not be read; `data` is then empty.
    """

    name: str
    data: bytes = field(repr=False)
    problem: str = ""
    retry_of: PredictionId | None = None
    """The failed prediction of this image, in a batch that retries another's failures."""


def clean_name(name: str) -> str:
    """Return a path or id as it may be stored and shown; of a long one, its end."""
    return showable_name(name)[-LONGEST_NAME:]


@dataclass(slots=True)
class Skipped:
    """The files that were left out: all are counted, the first hundred are named.

    Documents and links are named before clutter such as `.DS_Store`.
    """

    count: int = 0
    _chosen: list[str] = field(default_factory=list)
    _clutter: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count a file, and keep its name (of a long one, the end) while there is room. A name may be empty."""
        self.count += 1
        names = self._clutter if is_clutter(name) else self._chosen
        if len(names) < MOST_SKIPPED_NAMES and (shown := showable_name(name)[-LONGEST_SKIPPED_NAME:]):
            names.append(shown)

    @property
    def names(self) -> list[str]:
        """The names in the order in which the files came, those of clutter after the others."""
        return (self._chosen + self._clutter)[:MOST_SKIPPED_NAMES]
