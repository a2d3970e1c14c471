"""The repository's Markdown: its files, their text without code, their shell blocks and what those print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: .+ -->\s*\Z")


def pages() -> list[Path]:
    """Return every Markdown file of the repository."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def without_code(text: str) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", text)


@dataclass(frozen=True, slots=True)
class Block:
    """A shell block that is run, and what the document says it prints, if anything."""

    script: str
    prints: str | None


def shell_blocks(text: str) -> list[Block]:
    """Return the `bash` blocks from top to bottom, each with the `text` block after it under the same heading.

    A block after `<!-- not run: why -->` is left out, and so is what it would print.
    """
    found: list[Block] = []
    end, open_for_output = 0, False
    for fence in _FENCE.finditer(text):
        between, end = text[end : fence.start()], fence.end()
        open_for_output = open_for_output and not re.search(r"^#+ ", between, re.MULTILINE)
        match fence["language"]:
            case "bash":
                open_for_output = not _MARK.search(between)
                if open_for_output:
                    found.append(Block(fence["body"], None))
            case "text" if open_for_output:
                found[-1] = Block(found[-1].script, fence["body"])
                open_for_output = False
    return found


def python_blocks(text: str) -> list[str]:
    """Return the `python` blocks of a page from top to bottom."""
    return [fence["body"] for fence in _FENCE.finditer(text) if fence["language"] == "python"]


def missing(expected: str, printed: str) -> str | None:
    """Return the first piece of what a document shows that was not printed after those before it; None: all was.

    A piece is a line, a part of one between two `…`, or one member of a JSON object. Only words and signs are compared:
    ids, paths, numbers and white space may differ.
    """
    rest = _comparable(printed)
    for piece in _pieces(expected):
        _, found, rest = rest.partition(_comparable(piece))
        if not found:
            return piece
    return None


def _pieces(text: str) -> Iterator[str]:
    return filter(str.strip, re.split(r'[…\n]|,(?=[\s"…]*[{"])', text))


def _comparable(text: str) -> str:
    text = re.sub(r"/(home|tmp|root)/[\w./-]*", "/#", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "#", text)
    text = re.sub(r"\d[\d.,]*\d|\d", "#", text)
    return re.sub(r"\s+", "", text)
