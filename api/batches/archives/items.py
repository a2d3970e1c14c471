"""One image of a bulk upload, whatever it came in."""

from dataclasses import dataclass, field
from typing import Final

from shared.domain.file_names import showable

LONGEST_NAME: Final = 1024


@dataclass(frozen=True, slots=True)
class Item:
    """An image as it came. `problem` says in words why it could not be read; `data` is then empty."""

    name: str
    data: bytes = field(repr=False)
    problem: str = ""


def clean_name(name: str) -> str:
    """Return a path or id as it may be kept and shown; of a long one, its end."""
    return showable(name)[-LONGEST_NAME:]
