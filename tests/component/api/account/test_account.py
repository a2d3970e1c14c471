"""The account and the API keys over HTTP: whose keys one sees, makes and revokes, and what stays secret."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from api.account import api_keys as key_routes
from api.account import routes as account_routes
from api.schemas import Account, ApiKeyList, NewApiKey, RevokedApiKey
from shared.domain.api_keys import ApiKey, Caller, Role, key_digest
from shared.domain.identifiers import Owner
from shared.queue import keys
from shared.storage import api_keys

Serve = Callable[..., Any]
Ask = Callable[..., httpx.Response]
ANN, BOB = Owner("ann"), Owner("bob")


def make_key(engine: Engine, owner: Owner, **limits: Any) -> tuple[ApiKey, str]:
    with engine.connect() as connection:
        return api_keys.create_key(connection, owner, role=Role.ADMIN, **limits)


@pytest.fixture
def ask(serve: Serve, engine: Engine) -> Ask:
    def ask(method: str, path: str, *, json: Any = None, **rest: Any) -> httpx.Response:
        async def claim(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, f"/v1{path}", json=json)

        response: httpx.Response = serve(claim, **({"engine": engine} | rest))
        return response

    return ask


@pytest.fixture
def calls_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[ApiKey], None]:
    """Let the following requests come with a key."""

    def calls_as(key: ApiKey) -> None:
        known = Caller(owner=key.owner, role=key.role, limits=key.limits, shown=key.shown)
        for routes in (account_routes, key_routes):
            monkeypatch.setattr(routes, "caller", lambda _: known)

    return calls_as


def test_an_account_without_keys_is_the_default_owner_as_admin(ask: Ask) -> None:
    answer = ask("GET", "/account")
    assert answer.status_code == 200
    body = answer.json()
    Account.model_validate(body)
    assert (body["username"], body["role"], body["keys_required"], body["key"]) == ("default", "admin", False, None)
    assert body["links"] == {
        "mlflow": "http://127.0.0.1:5000", "flower": None, "grafana": None, "docs": None,
        "api": "http://darkroom.test/docs", "openapi": "http://darkroom.test/openapi.json",
    }  # fmt: skip
    assert body["used"] == {"unfinished": 0, "images_left": None, "unfinished_left": None}


def test_an_account_has_the_limits_of_its_key_and_their_use(
    ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None], redis_client: "redis.Redis"
) -> None:
    key, _ = make_key(engine, ANN, rate=20.0, max_inflight=5)
    calls_as(key)
    redis_client.zadd(keys.inflight(ANN), {"a": 1, "b": 2})
    body = ask("GET", "/account").json()
    Account.model_validate(body)
    assert body["key"] == {"id": key.id, "shown": key.shown}
    assert body["limits"] == {"images_a_second": 20, "images_at_once": 20, "unfinished": 5}
    assert body["used"] == {"unfinished": 2, "images_left": 20, "unfinished_left": 3}


def test_without_redis_the_account_still_says_who_calls(ask: Ask) -> None:
    body = ask("GET", "/account", redis_url="redis://127.0.0.1:1/0", redis_timeout=timedelta(seconds=1)).json()
    assert (body["username"], body["used"]) == ("default", None)


def test_a_new_key_is_shown_once_and_belongs_to_who_made_it(
    ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None]
) -> None:
    mine, _ = make_key(engine, ANN)
    make_key(engine, BOB)
    calls_as(mine)
    answer = ask("POST", "/api-keys", json={"role": "read", "images_a_second": 2.5, "unfinished": 9})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    NewApiKey.model_validate(made)
    with engine.connect() as connection:
        found = api_keys.callers_by_digest(connection)[key_digest(made["key"])]
    assert (found.owner, found.role, found.limits.rate, found.limits.max_inflight) == (ANN, Role.READ, 2.5, 9)

    listed = ask("GET", "/api-keys")
    ApiKeyList.model_validate(listed.json())
    assert [(one["id"], one["current"]) for one in listed.json()["results"]] == [(made["id"], False), (mine.id, True)]
    assert made["key"] not in listed.text


def test_a_key_for_another_owner_is_refused(ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None]) -> None:
    calls_as(make_key(engine, ANN)[0])
    answer = ask("POST", "/api-keys", json={"owner": "bob"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/owner")
    assert len(ask("GET", "/api-keys").json()["results"]) == 1


def test_a_limited_key_makes_only_keys_with_its_limits(
    ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None]
) -> None:
    calls_as(make_key(engine, ANN, rate=20.0, max_inflight=5)[0])
    assert ask("POST", "/api-keys", json={}).json()["limits"] == {
        "images_a_second": 20, "images_at_once": 20, "unfinished": 5,
    }  # fmt: skip
    answer = ask("POST", "/api-keys", json={"images_a_second": 21})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/images_a_second")


def test_an_owner_with_very_many_valid_keys_makes_no_more_until_one_is_revoked(
    ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_routes, "MOST_VALID", 3)
    mine, _ = make_key(engine, ANN)
    calls_as(mine)
    made = [ask("POST", "/api-keys", json={}).json()["id"] for _ in range(2)]
    refused = ask("POST", "/api-keys", json={})
    assert (refused.status_code, "ann has 3 valid keys" in refused.json()["detail"]) == (403, True)
    ask("POST", f"/api-keys/{made[0]}/revoke")
    assert ask("POST", "/api-keys", json={}).status_code == 201


def test_revoking_is_safe_to_repeat_and_says_that_it_was_ones_own_key(
    ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None]
) -> None:
    mine, _ = make_key(engine, ANN)
    other, _ = make_key(engine, ANN)
    calls_as(mine)
    first = ask("POST", f"/api-keys/{other.id}/revoke").json()
    RevokedApiKey.model_validate(first)
    assert first["notice"] is None
    assert first["used"] is None
    assert ask("POST", f"/api-keys/{other.id}/revoke").json()["revoked_at"] == first["revoked_at"]
    own = ask("POST", f"/api-keys/{mine.id}/revoke").json()
    assert (own["current"], own["notice"]) == (True, "this is the key of this request: it stops within 5 s")


def test_another_owners_key_can_not_be_found(ask: Ask, engine: Engine, calls_as: Callable[[ApiKey], None]) -> None:
    calls_as(make_key(engine, ANN)[0])
    theirs, _ = make_key(engine, BOB)
    for named in (theirs.id, theirs.shown, "x"):
        answer = ask("POST", f"/api-keys/{named}/revoke")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-api-key")
    with engine.connect() as connection:
        assert all(key.revoked_at is None for key in api_keys.list_keys(connection))


def test_without_a_key_keys_are_neither_made_nor_revoked(ask: Ask, engine: Engine) -> None:
    key, _ = make_key(engine, Owner("default"))
    assert ask("POST", "/api-keys", json={}).status_code == 403
    assert ask("POST", f"/api-keys/{key.id}/revoke").status_code == 403
    assert [one["id"] for one in ask("GET", "/api-keys").json()["results"]] == [key.id]


def test_without_postgres_keys_are_unavailable(ask: Ask, nowhere: Engine) -> None:
    answer = ask("GET", "/api-keys", engine=nowhere)
    assert answer.status_code == 503
    assert timedelta(seconds=int(answer.headers["retry-after"])) > timedelta(0)
