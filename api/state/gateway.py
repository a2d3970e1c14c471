"""What every route works with: made once at start-up, handed on through `app.state`."""

import asyncio
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import Engine

from api.state.api_keys import ApiKeys
from api.state.body_memory import BodyMemory
from api.state.draining import Draining
from api.state.job_waiters import JobWaiters
from api.state.open_requests import OpenRequests
from api.state.open_streams import OpenStreams
from api.state.purges import Purges
from api.state.reading_turns import ReadingTurns
from api.state.redis_memory import RedisMemory
from api.state.served_models import ServedModels
from api.state.submission_counter import SubmissionCounter
from api.state.threads import Threads
from shared import settings as configuration
from shared.observability.metrics import GatewayMetrics
from shared.presentation.stream_tokens import StreamTokens
from shared.queue.producer.producer import Producer


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway's stores, state and settings."""

    producer: Producer
    engine: Engine
    threads: Threads
    api_keys: ApiKeys
    open_requests: OpenRequests
    open_streams: OpenStreams
    purges: Purges
    models: ServedModels
    waiters: JobWaiters
    draining: Draining
    redis_memory: RedisMemory
    body_memory: BodyMemory
    reading_turns: ReadingTurns
    file_turn: asyncio.Lock
    """Held while a file's content is sent to Redis: one file at a time."""
    tokens: StreamTokens
    metrics: GatewayMetrics
    submissions: SubmissionCounter
    settings: configuration.Gateway
    database: configuration.Database
    intake: configuration.Intake
    files: configuration.Files
    queue: configuration.Queue
    bulk: configuration.Bulk
    webhooks: configuration.Webhooks
    wire: configuration.Wire
    links: configuration.Links
    keys_required: bool


def gateway(request: Request) -> Gateway:
    """Return the gateway of the app that serves this request."""
    found: Gateway = request.scope["app"].state.gateway
    return found


def base_url(request: Request) -> str:
    """Return what absolute URLs in answers begin with: the public URL, or the address of the request."""
    public = gateway(request).settings.public_url
    if public:
        return public.rstrip("/")
    scope = request.scope
    # The Host header as it came; request.base_url parses and builds a URL object for it (15 µs).
    for name, value in scope["headers"]:
        if name == b"host":
            return f"{scope['scheme']}://{value.decode('latin-1')}"
    return str(request.base_url).rstrip("/")
