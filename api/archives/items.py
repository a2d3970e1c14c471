"""One image of a bulk upload, whatever it came in."""

import re
from dataclasses import dataclass, field
from typing import Final

LONGEST_NAME: Final = 1024
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Item:
    """An image as it came. `problem` says in words why it could not be read; `data` is then empty."""

    name: str
    data: bytes = field(repr=False)
    problem: str = ""


def clean_name(name: str) -> str:
    """Return a path or id without what JSON, Postgres or a terminal would choke on; of a long one, its end."""
    return (name if name.isprintable() else _CONTROLS.sub("", name))[-LONGEST_NAME:]
