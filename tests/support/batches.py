"""Bulk uploads over HTTP: building bodies, sending them, polling a batch until it ends, reading its results."""

import base64
import io
import json
import tarfile
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import httpx

from tests.support.waiting import LIMIT

Json = dict[str, Any]
Named = Sequence[tuple[str, bytes]]
PATH = "/v1/batches"


def zipped(files: Named) -> bytes:
    """Return a zip of the files, in order."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return written.getvalue()


def tarred(files: Named, *, compression: str = "") -> bytes:
    """Return a tar of the files, in order; `gz` compresses it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def lines(files: Named) -> bytes:
    """Return the files as NDJSON."""
    every = ({"custom_id": name, "image": base64.b64encode(content).decode()} for name, content in files)
    return b"".join(json.dumps(one).encode() + b"\n" for one in every)


def send_images(http: httpx.Client, files: Named, **request: Any) -> httpx.Response:
    """Upload the files themselves."""
    parts = [("images", (name, content, "application/octet-stream")) for name, content in files]
    return http.post(PATH, files=parts, **request)


def send_archive(http: httpx.Client, archive: bytes, **request: Any) -> httpx.Response:
    """Upload an archive."""
    return http.post(PATH, files={"archive": ("images.zip", archive)}, **request)


def send_lines(http: httpx.Client, content: bytes, **request: Any) -> httpx.Response:
    """Upload NDJSON."""
    headers = {"Content-Type": "application/x-ndjson"} | request.pop("headers", {})
    return http.post(PATH, content=content, headers=headers, **request)


def accepted(answer: httpx.Response) -> Json:
    """Return the batch of an answer, which must be a 202."""
    assert answer.status_code == 202, answer.text
    found: Json = answer.json()
    assert answer.headers["location"] == found["urls"]["get"]
    return found


def batch(http: httpx.Client, id: str) -> Json:
    """Return a batch as it is now."""
    answer = http.get(f"{PATH}/{id}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def ended(http: httpx.Client, id: str, *, seconds: float = LIMIT) -> Json:
    """Return a batch once every item has its row."""
    until = time.monotonic() + seconds
    while (found := batch(http, id))["completed_at"] is None:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def results(http: httpx.Client, id: str) -> list[Json]:
    """Return a batch's results, line by line."""
    answer = http.get(f"{PATH}/{id}/results")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]
