"""Schemathesis sends requests that the gateway's OpenAPI document allows or forbids, and checks every answer by it.

The gateway asks for keys: its document then describes more, so more is checked.
"""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest

from shared.domain.identifiers import Owner
from tests.support.api_client import Door, Json
from tests.support.extra_processes import ClosedGateway
from tests.support.receivers import receiving
from tests.support.stack import ENVIRONMENT

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "tests" / "support" / "schemathesis.toml"
NAME = Owner("schemathesis")
# Far above the load: every answer has rate-limit headers, and none is refused.
LIMITS = ("--rate", "100000/s", "--max-inflight", "100000")
UNREACHED = {
    ("get", "/v1/predictions/{id}/mask"),  # the model that serves here makes none
    # It has one version.
    *(("post", f"/v1/models/{{name}}/{change}") for change in ("rollback", "challenger", "shadow", "canary")),
    # Whether an image failed whose id is drawn is left to chance, and so is a CSV with the id of an item.
    *(("post", path) for path in ("/v1/predictions/{id}/retry", "/v1/batches/{id}/retry", "/v1/batches/{id}/feedback")),
}
"""Operations that may never succeed here; tests of their own hold what they do."""
PHASES = {"examples", "coverage", "fuzzing", "stateful"}


def fuzz(
    url: str, folder: Path, *, hook: str, key: str = "", key_id: str = ""
) -> "tuple[subprocess.CompletedProcess[str], list[Json]]":
    """Fuzz what the document at a URL describes; return the finished process and each scenario it recorded.

    `key_id`: of the key, which is not revoked: nothing but a 401 would come after that.
    """
    report = folder / "report.ndjson"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", f"{url}/openapi.json"),
        *("--checks", "all", "--no-color", "--report", "ndjson", "--report-ndjson-path", str(report)),
        *(("--header", f"Authorization: Bearer {key}") if key else ()),
    ]
    path = filter(None, [str(ROOT), ENVIRONMENT.get("PYTHONPATH")])
    environment = ENVIRONMENT | {
        "FUZZING_HOOK": hook, "FUZZING_KEY_ID": key_id, "PYTHONPATH": os.pathsep.join(path),
        # Hypothesis' tables of Unicode, which are made in seconds where they are not found.
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
    }  # fmt: skip
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=570, check=False
    )
    events = map(json.loads, report.read_text().splitlines())
    return done, [event["ScenarioFinished"] for event in events if "ScenarioFinished" in event]


@pytest.mark.timeout(600)  # every operation gets hundreds of requests
def test_every_answer_conforms_to_the_openapi_document(closed: ClosedGateway, door: Door, tmp_path: Path) -> None:
    key = closed.key(NAME, "--role", "admin", *LIMITS)
    with receiving() as receiver:
        with closed.client(key) as client:
            key_id = client.get("/v1/account").json()["key"]["id"]
        done, scenarios = fuzz(closed.url, tmp_path, hook=receiver.url, key=key, key_id=key_id)
        assert done.returncode == 0, done.stdout + done.stderr
        door.wait_until_quiet(owner=NAME)
    assert "skipped: " not in done.stdout, done.stdout  # Schemathesis says "skipped" of what it can't generate or check

    recorders = [scenario["recorder"] for scenario in scenarios]
    answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for recorded in recorders:
        for id, sent in recorded.get("interactions", {}).items():
            case = recorded["cases"][id]["value"]
            answers[f"{case['method']} {case['path']}"][sent["response"]["status_code"]] += 1
    for path, operations in httpx.get(f"{closed.url}/openapi.json", trust_env=False).json()["paths"].items():
        for method in operations:
            found = answers[f"{method.upper()} {path}"]
            if (method, path) in UNREACHED:
                continue
            assert any(status < 300 for status in found), (method, path, found)
    assert {scenario["phase"] for scenario in scenarios} == PHASES
    checks = {check["name"] for each in recorders for made in each.get("checks", {}).values() for check in made}
    assert "ignored_auth" in checks
    assert sum(sum(found.values()) for found in answers.values()) > 1000


class Faulty(BaseHTTPRequestHandler):
    """An API that violates its own document."""

    answers: ClassVar = {
        "/fails": (500, "application/json", b"{}"),
        "/undocumented": (418, "application/json", b"{}"),
        "/another-type": (200, "text/plain", b"hello"),
        "/another-body": (200, "application/json", b'{"id": 7}'),
        "/takes-anything": (200, "application/json", b'{"id": "7"}'),
    }

    def do_GET(self) -> None:
        status, kind, body = self.answers.get(self.path.partition("?")[0], (404, "application/json", b"{}"))
        if self.path == "/openapi.json":
            status, kind, body = 200, "application/json", json.dumps(self.document()).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def document(self) -> Json:
        schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
        answer = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
        number = {"name": "number", "in": "query", "required": True, "schema": {"type": "integer"}}
        responses = {"200": answer, "404": {"description": "Not here."}}
        operation = {"parameters": [number], "responses": responses, "security": [{"key": []}]}
        return {
            "openapi": "3.1.0",
            "info": {"title": "Faulty", "version": "1"},
            "paths": {path: {"get": operation} for path in self.answers},
            "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        }

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def faulty() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_answers_that_violate_the_openapi_document_are_found(faulty: str, tmp_path: Path) -> None:
    done, scenarios = fuzz(faulty, tmp_path, hook="http://127.0.0.1:9/hook", key="dk_key")
    assert done.returncode == 1, done.stdout + done.stderr
    failed: defaultdict[str, set[str]] = defaultdict(set)
    for recorded in (scenario["recorder"] for scenario in scenarios):
        for id, checks in recorded.get("checks", {}).items():
            failed[recorded["cases"][id]["value"]["path"]] |= {c["name"] for c in checks if c["status"] == "failure"}
    assert "not_a_server_error" in failed["/fails"]
    assert "status_code_conformance" in failed["/undocumented"]
    assert "content_type_conformance" in failed["/another-type"]
    assert "response_schema_conformance" in failed["/another-body"]
    assert "negative_data_rejection" in failed["/takes-anything"]
    assert "ignored_auth" in failed["/takes-anything"]
