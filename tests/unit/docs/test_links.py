"""Links, files, tests and modules that documents name exist."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
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


@pytest.mark.parametrize("name", NAMES)
def test_every_link_has_a_target(name: str) -> None:
    page = NAMES[name]
    broken = []
    for target in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(ROOT) or not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_exists(name: str) -> None:
    tops = {path.partition("/")[0] for path in tracked() if "/" in path}
    names = {Path(path).name for path in tracked()}
    absent = []
    for word in quoted(NAMES[name].read_text()):
        path = word.partition("::")[0]
        if re.fullmatch(r"[\w.-]+(/[\w.*-]+)+/?", path) and path.partition("/")[0] in tops:
            if not path.startswith(MADE) and not any(ROOT.glob(path.rstrip("/"))):
                absent.append(word)
        elif re.fullmatch(r"[\w.-]+\.(py|lua|sql|toml|lock|yml)", path) and path not in names:
            absent.append(word)
    assert absent == []


@pytest.mark.parametrize("name", NAMES)
def test_every_test_file_of_a_command_exists(name: str) -> None:
    named = re.findall(r"(?<![\w/])tests/[\w/]+\.py\b", NAMES[name].read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_test_that_is_named_exists(name: str) -> None:
    absent = []
    for file, test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", NAMES[name].read_text()):
        path = ROOT / file
        if not path.exists() or not re.search(rf"^\s*(async )?def {test}\b", path.read_text(), re.MULTILINE):
            absent.append(f"{file}::{test}")
    assert absent == []


@pytest.mark.parametrize("name", NAMES)
def test_every_module_that_is_to_be_run_exists(name: str) -> None:
    for module in re.findall(r"python3? -m ([\w.]+)", NAMES[name].read_text()):
        path = ROOT / module.replace(".", "/")
        if (ROOT / module.partition(".")[0]).is_dir():
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_protocol_names_its_tests() -> None:
    assert len(re.findall(r"tests/[\w/]+\.py::\w+", (ROOT / "docs/protocol.md").read_text())) > 20
