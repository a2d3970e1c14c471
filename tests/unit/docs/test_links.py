"""Links, files, tests and modules that documents name exist.

Each test goes through all documents: one a document would be hundreds, and cost more than what they check.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path

from markdown.extensions.toc import slugify

from tests.support.documents import ROOT, pages, without_code

NAMES = {path.relative_to(ROOT).as_posix(): path for path in pages()}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# What git ignores is made by running something.
MADE = tuple(line for line in (ROOT / ".gitignore").read_text().split() if "*" not in line)


@cache
def anchors(path: Path) -> set[str]:
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
        # The site's numbering: the second of two headings with the same words ends in _1.
        anchor = unnumbered = slugify(plain, "-")
        for number in count(1):
            if anchor not in found:
                break
            anchor = f"{unnumbered}_{number}"
        found.add(anchor)
    return found | set(re.findall(r'id="([^"]+)"', path.read_text()))


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository that is its source."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    return frozenset(
        listed or (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if ".venv" not in path.parts)
    )


def quoted(text: str) -> Iterator[str]:
    """Yield what is in backticks."""
    yield from re.findall(r"`([^`\n]+)`", without_code(text))


def wrong(find: Callable[[Path, str], list[str]]) -> dict[str, list[str]]:
    """Return what is found wrong in each document that has anything wrong."""
    assert len(NAMES) > 100
    found = {name: find(page, page.read_text()) for name, page in NAMES.items()}
    return {name: words for name, words in found.items() if words}


def test_every_link_has_a_target() -> None:
    def broken(page: Path, text: str) -> list[str]:
        targets = [target for target in LINK.findall(without_code(text)) if not re.match(r"[a-z]+:", target)]
        return [target for target in targets if not leads_somewhere(page, target)]

    assert wrong(broken) == {}


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.is_relative_to(ROOT) and file.exists() and (not anchor or anchor in anchors(file))


def test_every_file_that_is_named_exists() -> None:
    tops = {path.partition("/")[0] for path in tracked() if "/" in path}
    names = {Path(path).name for path in tracked()}

    def exists(word: str) -> bool:
        path = word.partition("::")[0]
        if re.fullmatch(r"[\w.-]+(/[\w.*-]+)+/?", path) and path.partition("/")[0] in tops:
            return path.startswith(MADE) or any(ROOT.glob(path.rstrip("/")))
        return not re.fullmatch(r"[\w.-]+\.(py|lua|sql|toml|lock|yml)", path) or path in names

    assert wrong(lambda _, text: [word for word in quoted(text) if not exists(word)]) == {}


def test_every_test_file_of_a_command_exists() -> None:
    def absent(_: Path, text: str) -> list[str]:
        named = re.findall(r"(?<![\w/])tests/[\w/]+\.py\b", text)
        return [path for path in named if not (ROOT / path).exists()]

    assert wrong(absent) == {}


def test_every_test_that_is_named_exists() -> None:
    def exists(file: str, test: str) -> bool:
        path = ROOT / file
        return path.exists() and bool(re.search(rf"^\s*(async )?def {test}\b", path.read_text(), re.MULTILINE))

    def absent(_: Path, text: str) -> list[str]:
        named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
        return [f"{file}::{test}" for file, test in named if not exists(file, test)]

    assert wrong(absent) == {}


def test_every_module_that_is_to_be_run_exists() -> None:
    def exists(module: str) -> bool:
        path = ROOT / module.replace(".", "/")
        ours = (ROOT / module.partition(".")[0]).is_dir()
        return not ours or path.with_suffix(".py").exists() or (path / "__main__.py").exists()

    def absent(_: Path, text: str) -> list[str]:
        return [module for module in re.findall(r"python3? -m ([\w.]+)", text) if not exists(module)]

    assert wrong(absent) == {}


def test_the_protocol_names_its_tests() -> None:
    assert len(re.findall(r"tests/[\w/]+\.py::\w+", (ROOT / "docs/protocol.md").read_text())) > 20
