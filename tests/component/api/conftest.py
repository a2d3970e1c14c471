"""The gateway's routes on a real Redis, without a server process in between."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest
import redis
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine

from api.account import routes as account_routes
from api.batches import lookup as batch_lookup
from api.health import probes
from api.health import routes as health_routes
from api.health import status as health_status
from api.state.body_memory import BodyMemory
from api.state.open_requests import OpenRequests
from api.state.open_streams import OpenStreams
from api.state.reading_turns import ReadingTurns
from api.state.served_models import ServedModels
from api.state.submission_counter import SubmissionCounter
from api.state.threads import Threads
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from shared.presentation.stream_tokens import StreamTokens
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.model_routes import publish
from shared.queue.producer.producer import Producer
from shared.settings import Bulk, Database, Files, Gateway, Intake, Links, Queue, Redis, Webhooks, Wire
from shared.storage.engine import make_engine
from tests.support.gateway_app import make_app
from tests.support.waiting import PATIENCE

T = TypeVar("T")
Claim = Callable[[httpx.AsyncClient], Awaitable[T]]
BRIEF_WAITS = (
    (probes, "PATIENCE"), (health_routes, "PATIENCE"), (health_status, "PATIENCE"), (account_routes, "BRIEFLY"),
    (batch_lookup, "BRIEFLY"),
)  # fmt: skip
"""Of routes that answer without what a store does not tell in about a second."""


@pytest.fixture
def app() -> FastAPI:
    return make_app()


@pytest.fixture
def png() -> bytes:
    """A small image."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def digits() -> Route:
    """A model with one version."""
    version = Version(number=VersionNumber("3"), key=VersionKey("3-m-1"), created_at="")
    return Route(
        model=ModelName("digits"),
        description="",
        aliases={"champion": version.number},
        versions={version.number: version},
    )


@pytest.fixture
def nowhere() -> Engine:
    """A Postgres that is down."""
    return make_engine(Database(url="postgresql://127.0.0.1:1/none"))


@pytest.fixture
def serve(
    app: FastAPI, redis_server: Any, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run an async claim with an HTTP client of the app: `serve(claim, engine=…, routes=…, redis_url=…)`.

    With a `redis_timeout`, which tests without Redis give, routes that answer without it wait as long as they do for
    users; else as long as it takes.
    """

    def run(
        claim: "Claim[T]",
        *,
        engine: Engine | None = None,
        routes: Iterable[Route] = (),
        redis_url: str = redis_server.url,
        redis_timeout: timedelta = PATIENCE,
        **intake: Any,
    ) -> T:
        for route in routes:
            publish(redis_client, route)

        for module, patience in BRIEF_WAITS if redis_timeout == PATIENCE else ():
            monkeypatch.setattr(module, patience, PATIENCE)

        async def within() -> T:
            settings = Redis(url=redis_url, timeout=redis_timeout)
            connection = connect_async(settings)
            pipeline = Pipeline(connection, timeout=settings.timeout)
            producer = Producer(connection, pipeline)
            book = ServedModels(producer.models)
            threads = Threads(asks=2)
            app.state.gateway = SimpleNamespace(
                producer=producer,
                open_requests=OpenRequests(),
                open_streams=OpenStreams(),
                purges=SimpleNamespace(check=lambda _: None),
                engine=engine,
                models=book,
                redis_memory=SimpleNamespace(high=False, over=lambda _: False, share=0.8, used_bytes=7, limit_bytes=0),
                draining=app.state.draining,
                tokens=StreamTokens(b"secret"),
                metrics=app.state.metrics,
                submissions=SubmissionCounter(app.state.metrics.submissions),
                threads=threads,
                database=Database(),
                settings=Gateway(public_url="http://darkroom.test"),
                intake=Intake(**intake),
                body_memory=BodyMemory(Intake(**intake)),
                reading_turns=ReadingTurns(),
                files=Files(),
                file_turn=asyncio.Lock(),
                queue=Queue(),
                bulk=Bulk(),
                webhooks=Webhooks(),
                wire=Wire(),
                links=Links(mlflow="http://127.0.0.1:5000"),
                keys_required=False,
            )
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            try:
                await book.first_read()
                if routes:
                    await book._refresh()
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                    return await claim(client)
            finally:
                threads.close()
                if waiters := getattr(app.state.gateway, "waiters", None):
                    await waiters.close()
                await book.close()
                await pipeline.close()
                await connection.aclose()

        return asyncio.run(within())

    return run
