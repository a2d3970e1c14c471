"""The example's Locust file sends requests that the API has; where Locust is installed, it is imported too."""

import ast
import importlib.util
import subprocess
import sys

import pytest

from tests.support.documents import ROOT

FILE = ROOT / "examples" / "locust" / "locustfile.py"


def paths() -> set[tuple[str, str]]:
    """Return method and path of each request that the file sends, a path's variable part as `{id}`."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(FILE.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "self.client"
        ):
            written = node.args[0]
            parts = written.values if isinstance(written, ast.JoinedStr) else [written]
            path = "".join(str(part.value) if isinstance(part, ast.Constant) else "{id}" for part in parts)
            found.add((node.func.attr.upper(), path))
    return found


def test_it_sends_requests_that_the_api_has() -> None:
    described = (ROOT / "docs" / "reference" / "http.md").read_text()
    assert paths() == {("POST", "/v1/predictions"), ("GET", "/v1/predictions/{id}")}
    assert [f"{method} {path}" for method, path in paths() if f"{method} {path}" not in described] == []


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="Locust is not installed")
def test_locust_finds_its_users() -> None:
    # Locust replaces parts of the standard library where it is imported: in a process of its own.
    command = [sys.executable, "-m", "locust", "--locustfile", FILE, "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "Sender" in done.stdout) == (0, True), done.stderr
