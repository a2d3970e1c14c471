"""Which model a request means, by what the workers published."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from api.state.asked_models import Asked, asked_models
from api.state.served_models import ServedModels, own_pipelines
from shared.domain.errors import InvalidParameter, StorageUnavailable, UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route, Version
from shared.domain.pipeline import parse_pipeline
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.consumer.lanes import Lanes
from shared.queue.model_routes import publish, retire
from shared.queue.producer.models import Models
from shared.settings import Queue, Redis, SettingsError
from tests.support.waiting import PATIENCE

BARE_VERSION = Reference(name=None, version=VersionNumber("3"))
Find = Callable[[Reference], str]


@asynccontextmanager
async def opened(
    url: str, *, patience: timedelta = PATIENCE, **pipelines: dict[str, Any]
) -> AsyncIterator[ServedModels]:
    """Yield the served models read from this Redis."""
    connection = connect_async(Redis(url=url))
    pipeline = Pipeline(connection, timeout=patience)
    book = ServedModels(Models(pipeline), own_pipelines=own_pipelines(pipelines))
    try:
        yield book
    finally:
        await book.close()
        await pipeline.close()
        await connection.aclose()


@pytest.fixture
def find(redis_server: Any, redis_client: "redis.Redis") -> Callable[..., Find]:
    """Publish models, then find the one that a reference means."""

    def serving(*models: str) -> Find:
        for name in models:
            publish(redis_client, Route(model=ModelName(name), description="", aliases={}, versions={}))

        async def within(reference: Reference) -> str:
            async with opened(redis_server.url) as book:
                return (await book.for_reference(reference)).model

        return lambda reference: asyncio.run(within(reference))

    return serving


def test_the_model_may_be_omitted_where_only_one_serves(find: Callable[..., Find]) -> None:
    digits = find("digits")
    assert digits(Reference(name=None)) == digits(BARE_VERSION) == "digits"


def test_a_bare_version_among_several_models_is_refused_with_the_right_form(find: Callable[..., Find]) -> None:
    with pytest.raises(InvalidParameter, match=r"owner/name:name:3") as error:
        find("digits", "letters")(BARE_VERSION)
    assert error.value.pointer == "/version"
    assert "digits, letters" in error.value.detail


def test_a_missing_model_among_several_is_refused_with_their_names(find: Callable[..., Find]) -> None:
    with pytest.raises(UnknownModel) as error:
        find("digits", "letters")(Reference(name=None))
    assert error.value.served == ("digits", "letters")


def test_every_model_is_unknown_where_nothing_serves(find: Callable[..., Find]) -> None:
    for reference in (BARE_VERSION, Reference(name=None), Reference(name=ModelName("digits"))):
        with pytest.raises(UnknownModel):
            find()(reference)


VERSION = Version(number=VersionNumber("1"), key=VersionKey("1-a"), created_at="")
NEVER_LOADED = Route(
    model=ModelName("bad"),
    description="",
    aliases={},
    versions={VersionNumber("1"): VERSION},
    failed={VersionNumber("1"): "OSError: no files"},
)


def live(client: "redis.Redis", name: str) -> None:
    Lanes(client, model=ModelName(name), consumer="w", settings=Queue()).sign_of_life()


def test_a_model_that_never_loaded_is_no_default_and_says_why_when_named(
    find: Callable[..., Find], redis_client: "redis.Redis"
) -> None:
    digits = find("digits")
    publish(redis_client, NEVER_LOADED)
    assert digits(Reference(name=None)) == digits(BARE_VERSION) == "digits"
    with pytest.raises(UnknownModel) as error:
        digits(Reference(name=ModelName("nowhere")))
    assert error.value.served == ("digits",)
    assert digits(Reference(name=ModelName("bad"))) == "bad"
    for reference in (Reference(name=ModelName("bad")), Reference(name=ModelName("bad"), version=VersionNumber("1"))):
        with pytest.raises(UnknownModel) as error:
            NEVER_LOADED.choose(reference, digest=Digest("0" * 64))
        assert error.value.reason == "version 1 can't be loaded: OSError: no files"


def test_a_broken_only_model_is_refused_with_the_reason(find: Callable[..., Find], redis_client: "redis.Redis") -> None:
    publish(redis_client, NEVER_LOADED)
    with pytest.raises(UnknownModel) as error:
        find()(Reference(name=None))
    assert (error.value.served, error.value.reason) == ((), "version 1 of bad can't be loaded: OSError: no files")


def test_the_default_is_the_only_model_that_has_workers(find: Callable[..., Find], redis_client: "redis.Redis") -> None:
    choose = find("digits", "letters")
    live(redis_client, "letters")
    assert choose(Reference(name=None)) == "letters"
    assert choose(Reference(name=ModelName("digits"))) == "digits"  # its workers may be starting again
    live(redis_client, "digits")
    with pytest.raises(UnknownModel):
        choose(Reference(name=None))


def test_a_retired_model_is_unknown_with_the_reason(find: Callable[..., Find], redis_client: "redis.Redis") -> None:
    choose = find("digits", "letters")
    retire(redis_client, ModelName("letters"))
    assert choose(Reference(name=None)) == "digits"
    with pytest.raises(UnknownModel) as error:
        choose(Reference(name=ModelName("letters")))
    assert (error.value.served, error.value.reason) == (("digits",), "it is retired")


def test_concurrent_requests_see_a_route_published_before_them(redis_server: Any, redis_client: "redis.Redis") -> None:
    async def within() -> list[Route]:
        async with opened(redis_server.url) as book:
            with pytest.raises(UnknownModel):
                await book.get(ModelName("digits"))
            publish(redis_client, Route(model=ModelName("digits"), description="", aliases={}, versions={}))
            return await asyncio.gather(*(book.get(ModelName("digits")) for _ in range(8)))

    assert {route.model for route in asyncio.run(within())} == {"digits"}


REPAIRED = replace(NEVER_LOADED, aliases={"champion": VERSION.number}, failed={})
"""What a worker publishes that loads the version now; its model's name is `bad` still."""


@pytest.mark.parametrize("asked", ["bad", "bad@champion", "bad:1", ""])
def test_a_version_that_serves_is_found_by_the_first_request_after_its_route(
    redis_server: Any, redis_client: "redis.Redis", asked: str
) -> None:
    """`darkroom up` is ready once the route is published, and `promote` says then that the version serves."""
    publish(redis_client, Route(model=ModelName("old"), description="", aliases={}, versions={}))
    publish(redis_client, NEVER_LOADED)

    async def within() -> VersionNumber:
        async with opened(redis_server.url) as book:
            with suppress(UnknownModel):
                await book.get(ModelName("unknown"))  # the routes are read
            publish(redis_client, REPAIRED)
            live(redis_client, "bad")
            route = await book.for_reference(Reference.parse_model(asked) if asked else Reference(name=None))
            return route.choose(Reference(name=route.model), digest=Digest("0" * 64)).version

    assert asyncio.run(within()) == VERSION.number


def test_the_first_request_after_a_member_began_to_serve_finds_the_whole_pipeline(
    redis_server: Any, redis_client: "redis.Redis"
) -> None:
    publish(redis_client, REPAIRED)
    two = replace(VERSION, number=VersionNumber("2"), key=VersionKey("2-b"))

    async def within() -> Asked:
        async with opened(redis_server.url) as book:
            await book.get(ModelName("bad"))  # the routes are read
            publish(redis_client, replace(REPAIRED, versions={**REPAIRED.versions, two.number: two}))
            return await asked_models(book, Reference(name=None), {"models": ["bad:1", "bad:2"]})

    assert asyncio.run(within()).lane_model == "bad"


def test_a_model_is_listed_as_soon_as_the_first_one_serves(redis_server: Any, redis_client: "redis.Redis") -> None:
    async def within() -> list[Route]:
        async with opened(redis_server.url) as book:
            assert await book.all() == []
            publish(redis_client, REPAIRED)
            return await book.all()

    assert [route.model for route in asyncio.run(within())] == ["bad"]


def test_while_redis_is_down_no_name_is_called_unknown(start_redis: Callable[..., Any]) -> None:
    server = start_redis()
    server.kill()

    async def within() -> None:
        async with opened(server.url, patience=timedelta(seconds=1)) as book:
            asked = [book.get(ModelName("digits")) for _ in range(8)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(answer) for answer in answers} == {StorageUnavailable}

    asyncio.run(within())


def test_a_pipeline_of_the_settings_counts_less_than_a_tag_and_a_model_of_its_name(
    redis_server: Any, redis_client: "redis.Redis"
) -> None:
    tagged = parse_pipeline({"models": ["digits"], "on_error": "degrade"}).definition()
    own = {name: {"models": ["letters"]} for name in ("tagged", "digits", "alone")}
    digits = Route(model=ModelName("digits"), description="", aliases={}, versions={})

    async def names(book: ServedModels) -> dict[str, str]:
        await book.all()
        with suppress(UnknownModel):
            await book.get(ModelName("unknown"))  # reads the routes
        return {name: pipeline.expression() for name, pipeline in book.pipelines.items()}

    async def within() -> list[dict[str, str]]:
        async with opened(redis_server.url, **own) as book:
            before = await names(book)
            publish(redis_client, replace(digits, pipelines={ModelName("tagged"): tagged}))
            return [before, await names(book)]

    assert asyncio.run(within()) == [
        {"tagged": "letters", "digits": "letters", "alone": "letters"},
        {"tagged": "digits", "alone": "letters"},
    ]


@pytest.mark.parametrize(
    ("name", "definition", "words"),
    [
        ("a:b", {"models": ["m"]}, "'a:b' defines no pipeline: its name may have no"),
        ("boxed", {"model": "m"}, "'boxed' defines no pipeline"),
        ("boxed", ["m"], "it is no JSON object"),
    ],
)
def test_a_setting_that_defines_no_pipeline_stops_the_start(name: str, definition: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        own_pipelines({name: definition})
    assert str(caught.value).startswith("DARKROOM_PIPELINES: ")
    assert words in str(caught.value)
