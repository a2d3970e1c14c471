"""Markdown that every generated page is made of."""

from collections.abc import Iterable, Sequence


def opening(title: str, source: str, introduction: str) -> list[str]:
    """Return the lines a page begins with: what it is made from, its title, its introduction."""
    return [f"<!-- Generated from {source} by `make reference`: edit that, not this. -->", f"# {title}", introduction]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are escaped for it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def one_line(text: str) -> str:
    """Return a text without line breaks, each run of white space as one space."""
    return " ".join(text.split())


def joined(blocks: Iterable[str]) -> str:
    """Return a page of these blocks, an empty line between two."""
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"
