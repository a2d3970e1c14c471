"""Makes the gateway's app: middleware, routes, and the stores they work with. `python -m api.server` serves it."""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from fastapi import FastAPI

from api.account import api_keys as api_key_routes
from api.account import routes as account
from api.batches import routes as batches
from api.console import routes as console
from api.edge import guard
from api.edge.auth import Authentication, keys_required
from api.edge.origins import CrossOrigin
from api.edge.request_observer import RequestObserver
from api.edge.request_tracing import RequestTracing
from api.edge.short_path import ShortPath
from api.feedback import routes as feedback
from api.files import routes as files
from api.health import metrics, status
from api.health import routes as health
from api.http import problems
from api.models import orders as model_orders
from api.models import registry_events
from api.models import report as model_reports
from api.models import routes as model_routes
from api.openapi import docs_page, document, problem_pages
from api.predictions import routes as predictions
from api.state.api_keys import ApiKeys
from api.state.body_memory import BodyMemory
from api.state.draining import Draining
from api.state.gateway import Gateway
from api.state.job_waiters import JobWaiters
from api.state.open_requests import OpenRequests
from api.state.open_streams import OpenStreams
from api.state.published_figures import PublishedFigures
from api.state.purges import Purges
from api.state.reading_turns import ReadingTurns
from api.state.redis_memory import RedisMemory, refuse_unsafe_eviction
from api.state.served_models import ServedModels, own_pipelines
from api.state.submission_counter import SubmissionCounter
from api.state.threads import Threads, connections
from api.webhooks import routes as webhooks
from shared import settings
from shared.domain.errors import StorageUnavailable
from shared.observability.logs import configure_logging
from shared.observability.metrics import GatewayMetrics, new_registry
from shared.observability.metrics_server import serve_metrics
from shared.observability.tracing.starting import start_tracing
from shared.presentation.stream_tokens import StreamTokens
from shared.queue.producer.producer import connect_producer
from shared.storage.engine import make_engine

log = logging.getLogger(__name__)

T = TypeVar("T")

ROUTE_MODULES: Final = (
    predictions,
    batches,
    feedback,
    files,
    model_reports,
    model_orders,
    model_routes,
    webhooks,
    account,
    api_key_routes,
    health,
    status,
    metrics,
    console,
    docs_page,
    problem_pages,
)
"""Reports before models: their path would be taken for a model's with its owner."""
READ_IN_LIFESPAN: Final = (
    settings.Redis, settings.Metrics, settings.Database, settings.Intake, settings.Files, settings.Queue,
    settings.Bulk, settings.Webhooks, settings.Wire, settings.Links,
)  # fmt: skip
"""Settings that `create_app` reads too: what is wrong there ends the process at once, with one line.

`lifespan` waits for Redis first, and uvicorn makes a traceback of what it raises.
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect the stores and refuse an unsafe Redis; on stopping close everything in reverse order."""
    redis_settings = settings.read(settings.Redis)
    async with AsyncExitStack() as stack:
        if app.state.tracing is not None:
            stack.callback(app.state.tracing.close)
        stack.callback(serve_metrics(app.state.metrics.registry, settings.read(settings.Metrics)))
        producer = await stack.enter_async_context(connect_producer(redis_settings))
        await once_redis_answers(producer.server.wait_for_writes)
        await once_redis_answers(partial(refuse_unsafe_eviction, producer.server))
        database = settings.read(settings.Database)
        engine = make_engine(database, statement_timeout=database.timeout, connections=connections(database.pool_size))
        stack.callback(engine.dispose)
        open_requests, pause = OpenRequests(), settings.read(settings.Auth).refresh
        threads = Threads(asks=database.pool_size)
        stack.callback(threads.close)
        api_keys = ApiKeys(engine, pause=pause, open_requests=open_requests, longest=database.timeout)
        stack.push_async_callback(api_keys.close)
        purges = Purges(producer.server, pause=pause, open_requests=open_requests)
        stack.push_async_callback(purges.close)
        own = settings.read(settings.Gateway)
        models = ServedModels(producer.models, own_pipelines=own_pipelines(own.pipelines))
        stack.push_async_callback(models.close)
        waiters = JobWaiters(producer.done)
        stack.push_async_callback(waiters.close)
        producer.when_moved(waiters.listen_anew)
        memory = RedisMemory(producer.server, share=redis_settings.memory_share)
        stack.push_async_callback(memory.close)
        figures = PublishedFigures(app.state.metrics.registry, producer.status)
        stack.push_async_callback(figures.close)
        intake = settings.read(settings.Intake)
        app.state.gateway = Gateway(
            producer=producer,
            engine=engine,
            threads=threads,
            api_keys=api_keys,
            open_requests=open_requests,
            open_streams=OpenStreams(),
            purges=purges,
            models=models,
            waiters=waiters,
            redis_memory=memory,
            body_memory=BodyMemory(intake),
            reading_turns=ReadingTurns(),
            file_turn=asyncio.Lock(),
            tokens=StreamTokens(await once_redis_answers(producer.server.stream_secret)),
            draining=app.state.draining,
            metrics=app.state.metrics,
            submissions=SubmissionCounter(app.state.metrics.submissions),
            settings=own,
            database=database,
            intake=intake,
            files=settings.read(settings.Files),
            queue=settings.read(settings.Queue),
            bulk=settings.read(settings.Bulk),
            webhooks=settings.read(settings.Webhooks),
            wire=settings.read(settings.Wire),
            links=settings.read(settings.Links),
            keys_required=app.state.keys_required,
        )
        app.state.draining.when_over(waiters.wake_all)
        # Before the first request: a gateway that knows nothing yet would say that no model serves, take images of an
        # owner who is being purged, and more of them than Redis has room for.
        await asyncio.gather(models.first_read(), purges.first_read(), memory.first_read())
        # Objects that exist now stay for good: the garbage collector need not visit them again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        yield


async def once_redis_answers(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` does, which is repeated while Redis is away, hangs or refuses; each try takes seconds.

    A gateway that starts before its Redis is no failure, nor one whose Redis pauses in the middle of its start.
    """
    while True:
        try:
            return await ask()
        except StorageUnavailable as error:
            log.warning("waiting_for_redis", extra={"reason": error.reason or "it can't be reached"})


class WrongServer(SystemExit):
    """The app was given to another server than its own; the message is the one line people see."""


def create_app(draining: Draining | None = None) -> FastAPI:
    """Return the gateway's app; it connects when it starts serving.

    `draining` is the server's (`api/server.py`). Without it, as where `uvicorn --factory` calls, raises WrongServer:
    nothing would bound what clients send, nor drain.
    """
    if draining is None:
        raise WrongServer("start the gateway with `python -m api.server`; DARKROOM_SERVER_HOST and …_PORT say where")
    logging_settings = settings.read(settings.Logging)
    configure_logging(logging_settings)
    for name, meant in settings.misspelled(os.environ).items():
        log.warning("no_such_setting", extra={"setting": name, "resembles": meant})
    for read_again in READ_IN_LIFESPAN:
        settings.read(read_again)
    app = FastAPI(
        title="Darkroom",
        version="1",
        summary="A queue between people's images and your vision model.",
        description="Every answer has an `X-Request-ID`, the request's own or a new one; the gateway's log has it too.",
        lifespan=lifespan,
        # Looking whether there is anybody to tell costs 3 µs a request; the gateway has metrics and spans of its own.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.metrics = shown = GatewayMetrics(new_registry())
    app.state.draining = draining
    listening = settings.read(settings.Server)
    required = keys_required(settings.read(settings.Auth), host="" if listening.socket else listening.host)
    app.state.keys_required = required
    gateway_settings = settings.read(settings.Gateway)
    origins = gateway_settings.allowed_origins
    app.add_middleware(ShortPath, route=predictions.submission, method="POST")
    app.add_middleware(
        Authentication, required=required, public_url=gateway_settings.public_url, allowed_origins=origins
    )
    if origins:
        app.add_middleware(CrossOrigin, allowed=origins)
    app.state.tracing = start_tracing(
        settings.read(settings.Tracing), service="darkroom-gateway", instance=f"{socket.gethostname()}-{os.getpid()}"
    )
    if app.state.tracing is not None:
        app.add_middleware(RequestTracing, tracing=app.state.tracing)
    app.add_middleware(RequestObserver, metrics=shown, draining=draining, lines=logging_settings.requests)
    # These routes first, and not by include_router: an included router is matched twice, 10 µs a submission.
    app.router.routes.extend(predictions.direct.routes)
    problems.install(app)
    for module in ROUTE_MODULES:
        app.include_router(module.router)
    if secret := settings.read(settings.RegistryEvents).secret.get_secret_value():
        app.include_router(registry_events.router(secret))
    guard.install(app)
    document.install(app, keys_required=required)
    return app
