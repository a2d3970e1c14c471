"""A gateway knows what others have written before it takes its first request."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from api import main
from api.main import create_app, lifespan
from api.state.draining import Draining
from api.state.purges import Purges
from api.state.redis_memory import RedisMemory
from api.state.served_models import ServedModels
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the test process' log and garbage collector as they are, which a gateway sets for its own process."""
    monkeypatch.setattr(main, "configure_logging", lambda _: None)
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.parametrize("copy", [ServedModels, Purges, RedisMemory])
def test_a_gateway_takes_requests_only_once_it_has_read_what_redis_has(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, copy: type[ServedModels | Purges | RedisMemory]
) -> None:
    """It would say that no model serves, and take images of an owner who is being purged."""
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)
    read: Callable[[object], Awaitable[None]] = copy._refresh

    async def within() -> None:
        reads, go_on = asyncio.Event(), asyncio.Event()

        async def held(self: object) -> None:
            reads.set()
            await go_on.wait()
            await read(self)

        monkeypatch.setattr(copy, "_refresh", held)
        serving = lifespan(create_app(Draining()))
        starting = asyncio.ensure_future(serving.__aenter__())
        await asyncio.wait_for(reads.wait(), LIMIT)
        await asyncio.wait({starting}, timeout=0.1)  # time in which it could have started
        assert not starting.done()
        go_on.set()
        await asyncio.wait_for(starting, LIMIT)
        await serving.__aexit__(None, None, None)

    asyncio.run(within())
