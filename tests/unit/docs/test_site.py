import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_external_resources(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--quiet", "--strict", "--site-dir", tmp_path]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    fetched = {
        address
        for page in pages
        for address in re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"?([^\" >]+)", page.read_text())
        if "//" in address
    }
    assert fetched == set()
    # The theme fetches Mermaid for blocks of its own class.
    assert [page for page in pages if re.search(r'class="mermaid"', page.read_text())] == []


def test_the_readme_is_no_longer_than_people_read() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8 * 1024
