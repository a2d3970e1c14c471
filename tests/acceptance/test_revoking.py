"""`darkroom purge` reaches the requests that are open: no row of the owner is left (revoking: tests/integration)."""

import re
import threading
import time
from typing import TYPE_CHECKING

import httpx

from shared.domain.identifiers import Owner, new_uuid7
from shared.queue import keys
from tests.support.api_client import Door
from tests.support.extra_processes import ClosedGateway
from tests.support.open_requests import UPLOADS, finishing
from tests.support.pictures import renewed
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.stack import Stack

PNG = {"Content-Type": "image/png"}


def test_a_purged_owner_leaves_no_row_whatever_requests_were_open(
    closed: ClosedGateway, door: Door, scan: bytes
) -> None:
    key = closed.key("purged")
    opened = [begin(closed.url, key, scan, new_uuid7()) for begin in UPLOADS]
    with finishing(opened) as said:
        closed.stack.darkroom("purge", "--owner", "purged", "--yes")
    for begin, answer in zip(UPLOADS, said, strict=True):
        assert re.match(rb"HTTP/1.1 (401|503) ", answer), (begin, answer)
    assert nothing_is_left(door, "purged")
    with closed.client(key) as client:
        assert client.get("/v1/predictions").status_code == 401
    with closed.client(closed.key("purged")) as client:
        # A gateway checks every 2 s whether the purge has ended.
        until(lambda: client.get("/v1/predictions").status_code == 200, what="the owner is welcome again")
        assert client.get("/v1/predictions").json()["results"] == []
        assert client.post("/v1/predictions", content=renewed(scan), headers=PNG).status_code in (200, 202)
        until(lambda: door.redis.zcard(keys.inflight(Owner("purged"))) == 0, what="it has ended")


def test_the_keyless_owner_is_refused_during_its_purge_and_served_after(
    stack: "Stack", door: Door, scan: bytes
) -> None:
    opened = [begin(stack.url, "", scan, new_uuid7()) for begin in UPLOADS]
    refused = httpx.Response(0)
    with finishing(opened) as said:
        done = threading.Thread(target=lambda: stack.darkroom("purge", "--owner", "default", "--yes"))
        done.start()
        while done.is_alive():
            answer = door.http.get("/v1/predictions")
            if answer.status_code != 200:
                refused = answer
            time.sleep(0.02)
    for begin, answered in zip(UPLOADS, said, strict=True):
        assert answered.startswith(b"HTTP/1.1 503 "), (begin, answered)
        assert b"/problems/being-purged" in answered
    assert refused.json()["type"] == "/problems/being-purged"
    assert int(refused.headers["Retry-After"]) > 0
    until(lambda: door.http.get("/v1/predictions").status_code == 200, what="it is welcome again")
    assert nothing_is_left(door, "default")
    assert door.predicted(renewed(scan))["status"] == "succeeded"


def nothing_is_left(door: Door, owner: str) -> bool:
    """Tell whether an owner has nothing unfinished."""
    return not door.redis.exists(keys.inflight(Owner(owner)), keys.batches(Owner(owner)), keys.files_of(Owner(owner)))
