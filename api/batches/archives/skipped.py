"""What a bulk upload leaves out: how many files, and the names of some."""

from dataclasses import dataclass, field
from typing import Final

from shared.domain.file_names import is_clutter, showable

MOST_NAMES: Final = 100
LONGEST_NAME: Final = 255


@dataclass(slots=True)
class Skipped:
    """Every file is counted, and the first `MOST_NAMES` are named: documents and links first, clutter after them."""

    count: int = 0
    _chosen: list[str] = field(default_factory=list)
    _clutter: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count a file; keep its name, of a long one the end, while there is room. A file may have no name."""
        self.count += 1
        names = self._clutter if is_clutter(name) else self._chosen
        if len(names) < MOST_NAMES and (shown := showable(name)[-LONGEST_NAME:]):
            names.append(shown)

    @property
    def names(self) -> list[str]:
        """The names, in the order in which the files came; those of clutter after the others."""
        return (self._chosen + self._clutter)[:MOST_NAMES]
