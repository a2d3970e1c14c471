"""Each serving pattern has a page with commands that exist and tests that show it, and the index has them all."""

import re
from pathlib import Path

import pytest

from tests.support.command_lines import command_fault, command_lines
from tests.support.documents import ROOT, shell_blocks

FOLDER = ROOT / "docs" / "patterns"
PAGES = {page.stem: page for page in sorted(FOLDER.glob("*.md")) if page.stem != "index"}
PATTERNS = {
    "asynchronous", "batch", "prediction-cache", "preprocess-prediction-split", "horizontal-microservice",
    "vertical-microservice", "shadow-ab", "online-ab", "prediction-log", "condition-based-serving", "model-in-image",
    "model-load",
}  # fmt: skip
PARTS = ["How it is done here", "What it costs", "Shown by"]


def test_every_pattern_has_a_page_in_the_index_and_on_the_site() -> None:
    assert set(PAGES) == PATTERNS
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", (FOLDER / "index.md").read_text())) == PATTERNS
    assert set(re.findall(r"patterns/([\w-]+)\.md", (ROOT / "mkdocs.yml").read_text())) == PATTERNS | {"index"}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_has_its_parts_and_names_tests_that_exist(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text.partition("## Shown by")[2])
    assert tests
    for file, name in tests:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_says_how_with_commands_that_exist(page: Path) -> None:
    text = page.read_text()
    lines = [words for block in shell_blocks(text) for words in command_lines(block.script)]
    lines += [words for code in re.findall(r"`(darkroom [^`\n]+)`", text) for words in command_lines(code)]
    assert lines
    assert [fault for fault in map(command_fault, lines) if fault] == []
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert [name for name in re.findall(r"DARKROOM_[A-Z_]+", text) if f"`{name}`" not in settings] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("darkroom bulk photos --out results.csv", None),
        ("DARKROOM_HOME=/srv .venv/bin/darkroom models shadow digits 4 --percent=5  # a share", None),
        ("darkroom bulk photos --output results.csv", "no option --output"),
        ("darkroom models shade digits", "no such command"),
        ("darkroom models", "no such command"),
    ],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_found(line: str, fault: str | None) -> None:
    [words] = command_lines(line)
    found = command_fault(words)
    assert found is None if fault is None else fault in (found or "")
