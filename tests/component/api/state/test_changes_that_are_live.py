"""A command says that a change is live: from then on every gateway answers by it, a slow and a forgotten one too."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import redis

from api.state import served_models
from api.state.served_models import ServedModels
from shared.domain.errors import UnknownModel
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route, Version
from shared.queue import route_readers
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Scripts
from shared.queue.model_routes import publish, restore, retire
from shared.queue.producer.models import Models, Published
from shared.queue.server_clock import server_time_us
from shared.settings import Redis
from tests.support.servers import RedisServer
from tests.support.waiting import PATIENCE

MODEL = ModelName("digits")


@dataclass
class SlowModels:
    """What a gateway reads, whose replies it gets when the test lets it."""

    models: Models
    may_read: asyncio.Event = field(default_factory=asyncio.Event)
    holds: asyncio.Event = field(default_factory=asyncio.Event)

    async def published(self) -> Published:
        found = await self.models.published()
        if not self.may_read.is_set():
            self.holds.set()
        await self.may_read.wait()
        return found

    async def answer_by(self, published: Published, *, gateway: str) -> bool:
        return await self.models.answer_by(published, gateway=gateway)


@dataclass
class Gateways:
    """Some gateways on one Redis, of which the first is slow."""

    client: redis.Redis
    slow: SlowModels
    all: list[ServedModels]
    only_one_is_late: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self, number: int) -> None:
        version = Version(number=VersionNumber(str(number)), key=VersionKey(f"{number}-a"), created_at="")
        route = Route(
            model=MODEL,
            description="",
            aliases={"champion": version.number},
            versions={version.number: version},
        )
        assert publish(self.client, route)

    async def wait(self) -> list[str]:
        """Wait as commands do; return every gateway that was waited for."""
        waited_for: list[str] = []
        loop = asyncio.get_running_loop()

        def pause(late: list[str]) -> None:
            waited_for.extend(late)
            if len(late) == 1:
                loop.call_soon_threadsafe(self.only_one_is_late.set)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()

        await asyncio.to_thread(route_readers.wait_for_all, self.client, pause=pause)
        return waited_for

    async def answers(self) -> set[str]:
        """Return the versions by which all of them answer now; empty ones where the model is unknown."""

        async def one(models: ServedModels) -> str:
            try:
                route = await models.for_reference(Reference(name=MODEL))
            except UnknownModel:
                return ""
            return route.aliases["champion"]

        return set(await asyncio.gather(*(one(models) for models in self.all)))


@asynccontextmanager
async def running(server: RedisServer, client: redis.Redis) -> AsyncIterator[Gateways]:
    async with AsyncExitStack() as stack:
        gateways: list[ServedModels] = []
        slow: SlowModels | None = None
        for _ in range(3):
            connection = connect_async(Redis(url=server.url))
            stack.push_async_callback(connection.aclose)
            pipeline = Pipeline(connection, timeout=PATIENCE)
            stack.push_async_callback(pipeline.close)
            models = Models(pipeline)
            if slow is None:
                slow = SlowModels(models)
                slow.may_read.set()
            gateways.append(ServedModels(models if gateways else slow))  # type: ignore[arg-type]
            stack.push_async_callback(gateways[-1].close)
        assert slow is not None
        await asyncio.gather(*(one.first_read() for one in gateways))
        yield Gateways(client, slow, gateways)


Check = Callable[[Gateways], Awaitable[None]]


@pytest.fixture
def check(
    redis_server: RedisServer, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Check], None]:
    """Run a check with gateways that have read version 1, and read often."""
    monkeypatch.setattr(served_models, "PAUSE", timedelta(milliseconds=100))

    def run(check: Check) -> None:
        async def within() -> None:
            async with running(redis_server, redis_client) as gateways:
                gateways.serve(1)
                await gateways.wait()
                gateways.only_one_is_late.clear()
                assert await gateways.answers() == {"1"}
                await check(gateways)

        asyncio.run(within())

    return run


def test_every_gateway_answers_by_what_was_changed_once_the_wait_is_over(check: Callable[[Check], None]) -> None:
    async def promote_and_retire(gateways: Gateways) -> None:
        for number in range(2, 5):
            gateways.serve(number)
            waited_for = await gateways.wait()
            assert await gateways.answers() == {str(number)}
            assert len(set(waited_for)) == len(gateways.all)
        retire(gateways.client, MODEL)
        await gateways.wait()
        assert await gateways.answers() == {""}
        restore(gateways.client, MODEL)

    check(promote_and_retire)


def test_a_slow_gateway_is_waited_for(check: Callable[[Check], None]) -> None:
    async def hold_one(gateways: Gateways) -> None:
        gateways.slow.may_read.clear()
        await gateways.slow.holds.wait()
        gateways.serve(2)
        waiting = asyncio.create_task(gateways.wait())
        await gateways.only_one_is_late.wait()
        assert not waiting.done()
        gateways.slow.may_read.set()
        await waiting
        assert await gateways.answers() == {"2"}

    check(hold_one)


def test_a_gateway_that_was_forgotten_accepts_nothing_by_what_it_read_before(
    check: Callable[[Check], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read before the change, and gets the reply after the command has given it up: stopped in between, say."""
    seen = timedelta(milliseconds=500)
    monkeypatch.setattr(served_models, "COPY_COUNTS", seen)
    monkeypatch.setattr(route_readers, "_SEEN_US", seen // timedelta(microseconds=1))

    async def forget_one(gateways: Gateways) -> None:
        gateways.slow.may_read.clear()
        await gateways.slow.holds.wait()
        gateways.serve(2)
        await gateways.wait()
        answers = asyncio.create_task(gateways.answers())
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answers), timeout=0.05)
        gateways.slow.may_read.set()
        assert await answers == {"2"}

    check(forget_one)


def test_a_read_counts_only_where_the_gateway_was_known_before_it(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = Scripts(redis_client)

    def counts(*, as_of_us: int) -> bool:
        return bool(scripts.run(*route_readers.answering("one 7 f00d", as_of_us=as_of_us)))

    assert not counts(as_of_us=server_time_us(redis_client))  # nobody waits for one that has never been seen
    read = server_time_us(redis_client)
    assert counts(as_of_us=read)
    assert counts(as_of_us=read)
    assert not counts(as_of_us=read - 1)  # known since it said that it read later
    read = server_time_us(redis_client)
    assert route_readers.late(redis_client, since_us=read) == ["one 7 f00d"]
    assert counts(as_of_us=read)
    assert route_readers.late(redis_client, since_us=read) == []
    with monkeypatch.context() as briefly:
        briefly.setattr(route_readers, "_SEEN_US", 0)
        assert not counts(as_of_us=server_time_us(redis_client))  # forgotten: commands did not wait for it
