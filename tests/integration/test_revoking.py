"""A key that is revoked and an owner that is purged end the requests that are open, in any phase.

A real gateway process on a real Redis and Postgres, without workers: what was accepted waits.
"""

import httpx
import pytest
import redis
from sqlalchemy import Engine

from shared.domain.api_keys import Role
from shared.domain.identifiers import Owner, new_uuid7
from shared.queue import keys, purge_marks
from shared.storage import api_keys
from tests.support.gateways import Start
from tests.support.open_requests import MORE_THAN_ONE_CALL, UPLOADS, WAITS, finishing, following
from tests.support.waiting import until

PNG = {"Content-Type": "image/png"}


def made(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return api_keys.create_key(connection, Owner(name), role=Role.SUBMIT)[1]


def sent(client: httpx.Client, scan: bytes) -> str:
    answer = client.post("/v1/predictions", content=scan, headers=PNG)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


def test_revoking_a_key_ends_every_open_request(
    start: Start, engine: Engine, redis_client: redis.Redis, scan: bytes
) -> None:
    gateway, key, other = start(True), made(engine, "leaver"), made(engine, "leaver")  # noqa: FBT003
    with gateway.client(other) as stays:
        id = sent(stays, scan)
        opened = [begin(gateway.url, key, scan, id) for begin in (*UPLOADS, *WAITS)]
        stream, kept = (following(gateway.url, one, scan, id) for one in (key, other))
        until(lambda: redis_client.zcard(keys.inflight(Owner("leaver"))) > MORE_THAN_ONE_CALL, what="some are enqueued")
        with finishing([*opened, stream]) as said, engine.connect() as connection:
            api_keys.revoke_keys(connection, key)
        for begin, answer in zip((*UPLOADS, *WAITS), said, strict=False):
            assert answer.startswith(b"HTTP/1.1 401 "), (begin, answer)
            assert b"was revoked while the request was open" in answer, begin
        assert said[-1].startswith(b"HTTP/1.1 200 ")
        assert not said[-1].endswith(b"0\r\n\r\n"), "a broken answer must not seem complete"
        # Interrupted uploads are canceled; the complete submission stays, and so do requests with another key.
        until(lambda: redis_client.zcard(keys.inflight(Owner("leaver"))) == 2, what="uploads are canceled")
        stays.post(f"/v1/predictions/{id}/cancel")
        kept.read(until_it_says=b"event: done")
        kept.close()
    assert "Traceback" not in gateway.log()
    assert '"error"' not in gateway.log()


def test_a_purged_owner_is_refused_until_the_purge_has_ended(
    start: Start, redis_client: redis.Redis, scan: bytes
) -> None:
    gateway = start(False)  # noqa: FBT003
    with gateway.client() as client:
        opened = [begin(gateway.url, "", scan, new_uuid7()) for begin in UPLOADS]
        with finishing(opened) as said:
            purge_marks.mark(redis_client, Owner("default"))
        for begin, answer in zip(UPLOADS, said, strict=True):
            assert answer.startswith(b"HTTP/1.1 503 "), (begin, answer)
            assert b"/problems/being-purged" in answer
        for method, path in (("GET", "/v1/predictions"), ("POST", "/v1/predictions"), ("GET", "/nowhere")):
            refused = client.request(method, path)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/being-purged")
            assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/health/live").status_code == 200
        purge_marks.unmark(redis_client, Owner("default"))
        until(lambda: client.get("/v1/predictions").status_code == 200, what="it is welcome again")
        sent(client, scan)
    assert "Traceback" not in gateway.log()


def test_the_mark_of_a_killed_purge_expires(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    owner = Owner("ann")
    purge_marks.mark(redis_client, owner)
    assert purge_marks.parse(redis_client.execute_command(*purge_marks.read_command())) == {owner}
    later = purge_marks.now_us() + 61_000_000
    monkeypatch.setattr(purge_marks, "now_us", lambda: later)
    assert purge_marks.parse(redis_client.execute_command(*purge_marks.read_command())) == set()
    purge_marks.mark(redis_client, Owner("bob"))
    assert redis_client.zcard(keys.PURGING) == 1
