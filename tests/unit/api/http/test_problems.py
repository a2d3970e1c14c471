"""Every refusal is problem+json, from one table."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from starlette.requests import ClientDisconnect

from api.edge.auth import Authentication
from api.http import problem_table, problems
from api.openapi import problem_pages
from api.schemas import Problem
from shared.domain import errors
from shared.domain.errors import DarkroomError
from shared.domain.identifiers import KeyId
from shared.domain.key_limits import Limits, Remaining

SAMPLES: dict[type[DarkroomError], DarkroomError] = {
    type(error): error
    for error in (
        errors.BadRequest(detail="no"),
        errors.InvalidParameter(detail="no such priority", pointer="/priority"),
        errors.Unauthorized(detail="no key"),
        errors.Forbidden(detail="another role"),
        errors.UnknownPrediction(id="x"),
        errors.UnknownMask(id="x"),
        errors.UnknownBatch(id="x"),
        errors.UnknownFile(id="x"),
        errors.UnknownDelivery(id="x"),
        errors.UnknownKey(id="x"),
        errors.ChangeRefused(reason="x"),
        errors.ChangeUnanswered(id="x", waited_seconds=20.0),
        errors.NoRegistryWorker(retry_after=timedelta(seconds=2)),
        errors.UnknownModel(reference="cats", served=("digits", "digits@champion")),
        errors.ImageTooLarge(size=9_000_000, limit=8_000_000),
        errors.UploadTooLarge(size=9_000_000, limit=8_000_000, unit="entries"),
        errors.ArchiveRefused(reason="it holds a link", entry="a/b.png"),
        errors.UnsupportedImage(found="text", supported=("PNG", "JPEG")),
        errors.UnsupportedEncoding(encoding="gzip"),
        errors.UndecodableImage(format="PNG", reason="it ends before its IEND chunk"),
        errors.IdempotencyMismatch(key="k", first_id="x"),
        errors.UploadInProgress(key="k", first_id="x"),
        errors.PredictionNotEnded(id="x", state="starting"),
        errors.NothingFailed(kind="batch", id="x", state="in_progress"),
        errors.ImageGone(kind="prediction", id="x"),
        errors.RateLimited(
            limit="rate",
            limits=Limits(key=KeyId("k"), rate=2.5, max_inflight=10),
            left=Remaining(images=0, until_all=timedelta(seconds=1.1), unfinished=4),
            retry_after=timedelta(milliseconds=400),
        ),
        errors.TooMuchInHand(size=9, in_hand=7, allowed=10, retry_after=timedelta(seconds=1)),
        errors.GatewayBusy(size=9, in_hand=7, allowed=10, retry_after=timedelta(seconds=1)),
        errors.FileQuota(limit="bytes", size=9, used=7, allowed=10, retry_after=timedelta(hours=1)),
        errors.QueueFull(model="digits", retry_after=timedelta(milliseconds=1200)),
        errors.SubmitUncertain(id="x", retry_after=timedelta(seconds=2)),
        errors.BeingPurged(retry_after=timedelta(seconds=60)),
        errors.StorageUnavailable(store="redis", retry_after=timedelta(milliseconds=10)),
    )
}


def subclasses(of: type[DarkroomError]) -> Iterator[type[DarkroomError]]:
    for child in of.__subclasses__():
        yield child
        yield from subclasses(child)


def ask(path: str, *, method: str = "GET", raising: Exception | None = None) -> httpx.Response:
    """Return what an app answers whose page at /raise raises."""
    app = FastAPI()
    app.add_middleware(Authentication, required=False, public_url="http://test")
    app.state.gateway = SimpleNamespace(purges=SimpleNamespace(check=lambda _: None))
    problems.install(app)
    app.include_router(problem_pages.router)

    @app.get("/raise")
    async def page() -> None:
        assert raising is not None
        raise raising

    @app.delete("/raise")
    async def elsewhere() -> None: ...

    @app.get("/query")
    async def query(limit: Annotated[int, Query(ge=1)]) -> int:
        return limit

    async def within() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(within())


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return a problem after checking what they all have in common."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    Problem.model_validate(body)
    assert body["status"] == response.status_code
    assert body["type"].startswith("/problems/")
    assert isinstance(body["detail"], str)
    return body


def test_no_error_is_missing_from_the_table() -> None:
    every = set(subclasses(DarkroomError))
    assert every == problem_table.TABLE.keys()
    assert every == SAMPLES.keys()


@pytest.mark.parametrize("error", SAMPLES.values(), ids=lambda e: type(e).__name__)
def test_every_error_is_a_problem_whose_type_resolves(error: DarkroomError) -> None:
    body = problem(ask("/raise", raising=error))
    assert body["instance"] == "/raise"
    page = ask(body["type"])
    assert (page.status_code, page.json()["title"]) == (200, body["title"])


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.BadRequest, 400, "bad-request"),
        (errors.Unauthorized, 401, "unauthorized"),
        (errors.Forbidden, 403, "forbidden"),
        (errors.UnknownPrediction, 404, "unknown-prediction"),
        (errors.UnknownMask, 404, "unknown-mask"),
        (errors.UnknownDelivery, 404, "unknown-webhook-delivery"),
        (errors.UnknownKey, 404, "unknown-api-key"),
        (errors.ChangeRefused, 409, "change-refused"),
        (errors.ChangeUnanswered, 504, "change-unanswered"),
        (errors.NoRegistryWorker, 503, "no-registry-worker"),
        (errors.UnknownModel, 404, "unknown-model"),
        (errors.ImageTooLarge, 413, "image-too-large"),
        (errors.UnsupportedImage, 415, "unsupported-image"),
        (errors.UnsupportedEncoding, 415, "unsupported-encoding"),
        (errors.UndecodableImage, 422, "undecodable-image"),
        (errors.InvalidParameter, 422, "invalid-parameter"),
        (errors.IdempotencyMismatch, 422, "idempotency-mismatch"),
        (errors.RateLimited, 429, "rate-limited"),
        (errors.TooMuchInHand, 429, "rate-limited"),
        (errors.GatewayBusy, 503, "gateway-busy"),
        (errors.FileQuota, 429, "file-quota"),
        (errors.QueueFull, 503, "queue-full"),
        (errors.BeingPurged, 503, "being-purged"),
        (errors.StorageUnavailable, 503, "storage-unavailable"),
    ],
)
def test_statuses_are_the_contracts(error: type[DarkroomError], status: int, slug: str) -> None:
    body = problem(ask("/raise", raising=SAMPLES[error]))
    assert (body["status"], body["type"]) == (status, f"/problems/{slug}")


def test_an_errors_facts_are_members_of_the_problem() -> None:
    body = problem(ask("/raise", raising=SAMPLES[errors.ImageTooLarge]))
    assert (body["size"], body["limit"], body["unit"]) == (9_000_000, 8_000_000, "bytes")
    body = problem(ask("/raise", raising=SAMPLES[errors.UnknownModel]))
    assert body["served"] == ["digits", "digits@champion"]


def test_a_parameter_error_has_a_pointer() -> None:
    body = problem(ask("/raise", raising=SAMPLES[errors.InvalidParameter]))
    assert body["errors"] == [{"detail": "no such priority", "pointer": "/priority"}]


@pytest.mark.parametrize(
    ("error", "seconds"), [(errors.QueueFull, "2"), (errors.SubmitUncertain, "2"), (errors.StorageUnavailable, "1")]
)
def test_retry_after_is_whole_seconds(error: type[DarkroomError], seconds: str) -> None:
    assert ask("/raise", raising=SAMPLES[error]).headers["retry-after"] == seconds


def test_401_names_its_authentication_scheme() -> None:
    assert ask("/raise", raising=SAMPLES[errors.Unauthorized]).headers["www-authenticate"] == "Bearer"


def test_rate_limit_headers_show_what_is_left_and_not_the_key() -> None:
    answer = ask("/raise", raising=SAMPLES[errors.RateLimited])
    assert answer.headers["ratelimit-policy"] == '"images";q=3;w=2, "unfinished";q=10'
    assert answer.headers["ratelimit"] == '"images";r=0;t=2, "unfinished";r=4'
    assert answer.json()["detail"] == "this key allows 2.5 images a second"
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance", "limit"}


def test_an_unknown_path_is_a_problem() -> None:
    assert problem(ask("/nowhere"))["type"] == "/problems/not-found"
    assert problem(ask("/problems/nothing"))["status"] == 404


def test_a_wrong_method_is_answered_with_all_allowed_ones() -> None:
    response = ask("/raise", method="PUT")
    assert problem(response)["type"] == "/problems/method-not-allowed"
    assert response.headers["allow"] == "GET, DELETE"


def test_the_frameworks_422_becomes_a_problem() -> None:
    body = problem(ask("/query?limit=0"))
    assert body["type"] == "/problems/invalid-parameter"
    assert [error["pointer"] for error in body["errors"]] == ["/limit"]


def test_an_internal_error_shows_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        response = ask("/raise", raising=RuntimeError("the password is swordfish"))
    assert problem(response)["type"] == "/problems/internal-error"
    assert "swordfish" not in response.text
    # The server logs it, with its traceback; a line of ours would be the second.
    assert "swordfish" not in caplog.text


def test_a_client_that_left_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    assert ask("/raise", raising=ClientDisconnect()).status_code == problems.CLIENT_LEFT
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
