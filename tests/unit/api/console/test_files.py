"""The console's files: what a browser needs is there, and nothing that its policy forbids."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from api.console.files import WEB, web_files
from api.console.routes import POLICY

MODULES = sorted(path for path in WEB.rglob("*.js") if "vendor" not in path.parts)
STYLES = sorted(path for path in WEB.rglob("*.css") if "vendor" not in path.parts)
IMPORT = re.compile(
    r"""^\s*(?:import|export)\b[^'"();]*?\bfrom\s+["']([^"']+)["']|^import\s+["']([^"']+)["']""", re.MULTILINE
)
DYNAMIC = re.compile(r"""\bimport\(\s*["'`]([^"'`]+)["'`]\s*\)""")
# npm's archives are pinned by api/console/vendor.py; what was taken from them is listed with its digest.
LISTED = re.compile(r"^\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)


def identity(path: Path) -> str:
    return path.relative_to(WEB).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=identity)
def test_every_import_is_a_file_of_the_console(module: Path) -> None:
    text = module.read_text()
    named = [one or other for one, other in IMPORT.findall(text)]
    named += [name for name in DYNAMIC.findall(text) if "${" not in name]
    for name in named:
        assert name.startswith("."), f"{name}: a browser resolves paths alone"
        assert (module.parent / name).is_file(), name


@pytest.mark.parametrize("module", MODULES, ids=identity)
def test_no_script_needs_what_the_policy_forbids(module: Path) -> None:
    text = module.read_text()
    for forbidden in (
        "eval(",
        "new Function",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        ' style="',
    ):
        assert forbidden not in text
    assert module.stem == module.stem.lower().replace("_", "-")
    assert text.startswith("// "), "the first line says what the file is"
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize("path", [*MODULES, *STYLES, WEB / "index.html"], ids=identity)
def test_nothing_is_fetched_from_anybody_else(path: Path) -> None:
    text = re.sub(r"http://www\.w3\.org/[\w/]+|https?://(127\.0\.0\.1|localhost|example\.com)", "", path.read_text())
    assert not re.search(r"https?://[\w$]", text)
    assert not re.search(r"url\(|@import", text)


def test_the_page_has_no_inline_script_or_style() -> None:
    page = web_files().page.content.decode()
    assert not re.search(r"<style|style=|\son\w+=|javascript:", page)
    assert all(re.search(r"src=", tag) for tag in re.findall(r"<script[^>]*>", page))
    assert "unsafe" not in POLICY


def test_the_page_names_files_that_are_there() -> None:
    files = web_files()
    named = re.findall(r"console/([0-9a-f]{16})/([\w./-]+)", files.page.content.decode())
    assert {path for _, path in named} >= {"app.js", "icon.svg", "style/base.css", "lib/api.js", "vendor/preact.js"}
    assert {digest for digest, _ in named} == {files.digest}
    assert {path for _, path in named} <= set(files.by_path)
    assert "{base}" not in files.page.content.decode()


def test_licences_and_notes_are_not_served() -> None:
    assert {Path(path).suffix for path in web_files().by_path} == {".js", ".css", ".svg"}


def test_the_address_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{base}")
    (tmp_path / "a.js").write_text("1")
    first = web_files(tmp_path).digest
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("{base}")
    (other / "a.js").write_text("2")
    assert web_files(other).digest != first


def test_all_of_it_is_less_than_150_kilobytes_compressed() -> None:
    files = web_files()
    assert sum(len(file.compressed) for file in (*files.by_path.values(), files.page)) < 150 * 1024
    assert all(gzip.decompress(file.compressed) == file.content for file in files.by_path.values())


def test_vendored_files_are_those_that_the_list_names() -> None:
    vendor = WEB / "vendor"
    listed = dict(LISTED.findall((vendor / "README.md").read_text()))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.iterdir()
        if path.name != "README.md"
    }
    assert listed == found


@pytest.mark.parametrize("style", STYLES, ids=identity)
def test_nothing_moves_without_end(style: Path) -> None:
    """An animation that never ends has the browser draw sixty times a second as long as the page is open."""
    assert "infinite" not in style.read_text()
