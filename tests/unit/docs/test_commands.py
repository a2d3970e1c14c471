"""Every `darkroom` command that a page, the console or an alert names exists, with every option it is given."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer.main

from cli.commands import commands

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in path.parts),
)
TEXTS: Final = (ROOT / "api/console/web/parts/commands.js", ROOT / "deploy/prometheus/alerts.yml")
_BLOCK: Final = re.compile(r"^ *```(?:bash|sh|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_NAMED: Final = re.compile(r"(?:^|[\s`\"'(/])darkroom (?!command\b)((?:[^\n`\"';|&#)\\]|\\\n)+)")


def named(path: Path) -> Iterator[str]:
    """Find what follows `darkroom` in a page's code, or anywhere in another file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = "\n".join([*_BLOCK.findall(text), *(f"`{code}`" for code in _INLINE.findall(text))])
    for words in _NAMED.findall(text):
        yield words.replace("\\\n", " ")


def fault(words: str, root: Any) -> str:
    """Return what is wrong with a command line; empty where nothing is."""
    command, rest = root, words.split()
    while hasattr(command, "commands") and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        if rest[0] not in command.commands:
            return f"there is no `{rest[0]}`"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [
        word for word in (word.partition("=")[0] for word in rest) if word.startswith("--") and word not in known
    ]
    return f"`{command.name}` has no {unknown}" if unknown else ""


def test_every_command_that_is_named_exists_with_its_options() -> None:
    root = typer.main.get_command(commands)
    lines = [(path, words) for path in (*PAGES, *TEXTS) for words in named(path)]
    assert len(lines) > 100
    wrong = [
        f"{path.relative_to(ROOT)}: darkroom {words}: {why}" for path, words in lines if (why := fault(words, root))
    ]
    assert not wrong, "\n".join(wrong)
