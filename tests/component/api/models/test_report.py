"""Reports on models over HTTP: whose predictions they count, and what is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from api.models import report as reports
from api.schemas import ModelReport
from shared.domain.api_keys import Caller, Role
from shared.domain.identifiers import Owner
from shared.domain.model_route import Route
from shared.storage.recording import record

Serve = Callable[..., Any]
Make = Callable[..., dict[bytes, bytes]]


@pytest.fixture
def get(serve: Serve, engine: Engine, digits: Route) -> Callable[..., httpx.Response]:
    def get(query: str = "", *, model: str = "digits", **rest: Any) -> httpx.Response:
        async def claim(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get(f"/v1/models/{model}/report{query}")

        response: httpx.Response = serve(claim, **({"routes": [digits], "engine": engine} | rest))
        return response

    return get


@pytest.fixture
def recorded(engine: Engine, finished_record: Make) -> None:
    """Three predictions of version 3, of three owners, and one of version 4."""
    records = [finished_record(owner=owner) for owner in ("default", "alice", "bob")]
    with engine.connect() as connection:
        record(connection, [*records, finished_record(request={"version": "4", "variant": "challenger"})])


@pytest.mark.usefixtures("recorded")
def test_a_report_is_as_the_document_says_and_counts_everybodys_without_keys(
    get: Callable[..., httpx.Response],
) -> None:
    answer = get()
    assert answer.status_code == 200
    body = answer.json()
    ModelReport.model_validate(body)
    third, fourth = body["versions"]
    assert (third["version"], third["variant"], third["count"]) == ("3", "champion", 3)
    assert (fourth["version"], fourth["variant"], fourth["count"]) == ("4", "challenger", 1)
    assert third["classes"] == [{"class": "7", "count": 3, "share": 1.0}]
    assert third["confidence"][19] == {"from": 0.95, "to": 1.0, "count": 3}
    assert third["total_ms"]["p50"] == pytest.approx(10.1, rel=0.025)
    assert [one for one in third["total_ms"]["histogram"] if one["count"]] == [{"from": 10.0, "to": 25.0, "count": 3}]
    assert third["total_ms"]["histogram"][-1] == {"from": 1_800_000.0, "to": None, "count": 0}
    assert third["drift"] == {"psi": 0.0, "by_chance": 0.0, "verdict": "stable"}
    assert body["comparisons"][0]["sentence"].startswith("Too few to tell")
    assert body["first_week"]["classes"] == {"7": 4}
    assert body["uncounted"] == 0


@pytest.mark.usefixtures("recorded")
def test_an_owner_sees_its_own_alone_and_an_admin_all(
    get: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, count in ((Role.READ, 1), (Role.SUBMIT, 1), (Role.ADMIN, 3)):
        asker = Caller(owner=Owner("alice"), role=role)
        monkeypatch.setattr(reports, "caller", lambda _, asker=asker: asker)
        assert get("?versions=3").json()["versions"][0]["count"] == count


@pytest.mark.usefixtures("recorded")
def test_versions_and_time_limit_what_counts(get: Callable[..., httpx.Response]) -> None:
    assert [one["version"] for one in get("?versions=4").json()["versions"]] == ["4"]
    assert [one["version"] for one in get("?versions=4,%203").json()["versions"]] == ["3", "4"]
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert get(f"?since={later}").json()["versions"] == []
    earlier = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert get(f"?since={earlier}").json()["since"].startswith(earlier[:-1])
    assert get("?since=9999-12-31T23:59:59.999999Z").json()["versions"] == []
    assert len(get("?since=0001-01-01T00:00:00Z").json()["versions"]) == 2
    assert len(get("?since=90000d").json()["versions"]) == 2


@pytest.mark.parametrize(
    "query",
    ["?since=yesterday", "?since=-1d", "?since=2026-13-01T00:00:00Z", "?versions=", "?versions=3,,4", "?version=3",
     "?since=999999999d"],
)  # fmt: skip
def test_what_can_not_be_understood_is_refused(get: Callable[..., httpx.Response], query: str) -> None:
    answer = get(query)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-parameter")


@pytest.mark.usefixtures("recorded")
def test_a_model_that_has_neither_rows_nor_a_route_is_unknown(get: Callable[..., httpx.Response]) -> None:
    assert get(model="cats").json()["type"] == "/problems/unknown-model"
    assert get(routes=[]).json()["versions"][0]["count"] == 3


def test_a_model_without_predictions_has_an_empty_report(get: Callable[..., httpx.Response]) -> None:
    body = get().json()
    ModelReport.model_validate(body)
    assert (body["versions"], body["comparisons"], body["first_week"]) == ([], [], None)


def test_without_postgres_there_is_no_report(get: Callable[..., httpx.Response], nowhere: Engine) -> None:
    assert get(engine=nowhere).status_code == 503
