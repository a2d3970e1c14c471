"""The gateway: wiring. `uvicorn api.main:create_app --factory --http api.protocol:HttpProtocol`."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from api import docs, guard, problems
from api.address import listening_host
from api.auth import Authentication, keys_required
from api.counting import Submissions
from api.draining import Draining
from api.gateway import Gateway
from api.inhand import InHand
from api.keyring import Keyring
from api.memory import MemoryWatch, refuse_unsafe_eviction
from api.observing import Observing
from api.openapi import document
from api.origins import CrossOrigin
from api.purges import Purges
from api.routebook import RouteBook
from api.routes import batches, files, health, metrics, models, predictions, webhooks
from api.threads import Threads, connections
from api.turns import Turns
from api.visits import Visits
from api.waiting import Waiting
from shared import settings
from shared.domain.errors import StorageUnavailable
from shared.domain.tokens import StreamTokens
from shared.observability.exposing import expose
from shared.observability.logs import configure_logging
from shared.observability.metrics import GatewayMetrics, new_registry
from shared.queue import keys, secret
from shared.queue.connection import connect_async
from shared.queue.pipeline import Pipeline
from shared.storage.engine import make_engine

log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect the stores, refuse an unsafe Redis, and take everything down in reverse order."""
    redis_settings = settings.read(settings.Redis)
    async with AsyncExitStack() as stack:
        stack.callback(expose(app.state.metrics.registry, settings.read(settings.Metrics)))
        client = connect_async(redis_settings)
        stack.push_async_callback(client.aclose)
        redis = Pipeline(client, timeout=redis_settings.timeout)
        stack.push_async_callback(redis.close)
        await wait_for_redis(redis)
        await refuse_unsafe_eviction(redis)
        database = settings.read(settings.Database)
        engine = make_engine(database, statement_timeout=database.timeout, connections=connections(database.pool_size))
        stack.callback(engine.dispose)
        visits, pause = Visits(), settings.read(settings.Auth).refresh
        threads = Threads(asks=database.pool_size)
        stack.callback(threads.close)
        keyring = Keyring(engine, pause=pause, visits=visits, longest=database.timeout)
        stack.push_async_callback(keyring.close)
        purges = Purges(redis, pause=pause, visits=visits)
        stack.push_async_callback(purges.close)
        routes = RouteBook(redis)
        stack.push_async_callback(routes.close)
        waiting = Waiting(client)
        stack.push_async_callback(waiting.close)
        redis.when_moved(waiting.listen_anew)
        memory = MemoryWatch(redis, share=redis_settings.memory_share)
        stack.push_async_callback(memory.close)
        intake = settings.read(settings.Intake)
        app.state.gateway = Gateway(
            redis=redis,
            engine=engine,
            threads=threads,
            keyring=keyring,
            visits=visits,
            purges=purges,
            routes=routes,
            waiting=waiting,
            memory=memory,
            in_hand=InHand(intake),
            turns=Turns(),
            file_turn=asyncio.Lock(),
            tokens=StreamTokens(await secret.shared_secret(redis)),
            draining=app.state.draining,
            metrics=app.state.metrics,
            submissions=Submissions(app.state.metrics.submissions),
            settings=settings.read(settings.Gateway),
            database=database,
            intake=intake,
            files=settings.read(settings.Files),
            queue=settings.read(settings.Queue),
            bulk=settings.read(settings.Bulk),
            webhooks=settings.read(settings.Webhooks),
            wire=settings.read(settings.Wire),
        )
        drain = app.state.gateway.settings.drain
        stack.callback(app.state.draining.install(time=drain, wake=waiting.wake_all))
        # What lives now lives for good: the collector need not look at it with every request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        yield


async def wait_for_redis(redis: Pipeline) -> None:
    """Return when Redis takes writes; a gateway that starts before its Redis is no failure. Each try takes seconds."""
    while True:
        try:
            await redis.call("DEL", keys.NOTHING)
        except StorageUnavailable as error:
            log.warning("waiting_for_redis", extra={"reason": error.reason})
        else:
            return


def create_app() -> FastAPI:
    """Return the gateway's app; it connects when it starts serving."""
    logging_settings = settings.read(settings.Logging)
    configure_logging(logging_settings)
    app = FastAPI(
        title="Darkroom",
        version="1",
        summary="A queue between people's images and your vision model.",
        description="Every answer has an `X-Request-ID`, the request's own or a new one; the gateway's log has it too.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.metrics = shown = GatewayMetrics(new_registry())
    app.state.draining = draining = Draining()
    required = keys_required(settings.read(settings.Auth), host=listening_host())
    gateway_settings = settings.read(settings.Gateway)
    origins = gateway_settings.allowed_origins
    app.add_middleware(
        Authentication, required=required, public_url=gateway_settings.public_url, allowed_origins=origins
    )
    if origins:
        app.add_middleware(CrossOrigin, allowed=origins)
    app.add_middleware(Observing, metrics=shown, draining=draining, lines=logging_settings.requests)
    # First, and not included: an included router is matched twice, which costs a submission 10 µs.
    app.router.routes.extend(predictions.direct.routes)
    problems.install(app)
    for module in (predictions, batches, files, models, webhooks, health, metrics, docs):
        app.include_router(module.router)
    guard.install(app)
    document.install(app, keys_required=required)
    return app
