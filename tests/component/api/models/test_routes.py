"""Models that serve, in the form that people and Replicate's client read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from api.models.objects import traffic
from api.schemas import Model, ModelList, Version, VersionList
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Agreement, Route
from shared.domain.model_route import Version as ServedVersion
from shared.domain.output_schema import output_schema
from shared.domain.task import Task
from shared.domain.timestamps import now_us
from shared.queue import keys

Serve = Callable[..., Any]
DIGITS = ModelName("digits")


def version(number: str) -> ServedVersion:
    return ServedVersion(
        number=VersionNumber(number),
        key=VersionKey(f"{number}-m-1"),
        created_at="2026-01-31T12:00:00Z",
        labels=("0", "1", "2"),
        image={"resize_size": [32, 32], "mode": "RGB"},
        parameters={"epochs": "9"},
        metrics={"accuracy": 0.985},
    )


def route(**changes: Any) -> Route:
    given: dict[str, Any] = {
        "model": DIGITS,
        "description": "Scanned digits",
        "aliases": {"champion": "9", "challenger": "10"},
        "versions": {number: version(number) for number in ("9", "10")},
        "challenger_percent": 20,
        "failed": {"11": "no labels"},
    }
    return Route(**(given | changes))


def get(serve: Serve, path: str, **rest: Any) -> httpx.Response:
    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path)

    response: httpx.Response = serve(claim, **({"routes": [route()]} | rest))
    return response


@pytest.mark.parametrize("path", ["/v1/models/digits", "/v1/models/darkroom/digits", "/v1/models/anybody/digits"])
def test_a_model_shows_its_serving_versions(serve: Serve, engine: Engine, path: str) -> None:
    body = get(serve, path, engine=engine).json()
    Model.model_validate(body)
    assert (body["owner"], body["name"]) == ("darkroom", "digits")
    assert body["url"] == "http://darkroom.test/v1/models/darkroom/digits"
    assert body["aliases"] == {"champion": "9", "challenger": "10"}
    assert body["traffic"] == {"champion": 80, "challenger": 20}
    assert body["latest_version"]["id"] == "9"
    assert [(v["version"], v["aliases"]) for v in body["versions"]] == [("10", ["challenger"]), ("9", ["champion"])]
    assert body["versions"][0]["classes"] == ["0", "1", "2"]
    assert body["versions"][0]["num_classes"] == 3
    assert body["failed_versions"] == [{"version": "11", "error": "no labels"}]


def test_a_version_shows_its_task_and_the_schema_of_its_outputs(serve: Serve, engine: Engine) -> None:
    schema = output_schema(Task.REGRESSION, options={"values": {"age": "years"}})
    age = replace(version("12"), task=Task.REGRESSION, labels=(), output=schema, warnings=("no units",))
    unloaded = replace(version("8"), labels=())
    versions = {one.number: one for one in (age, version("9"), unloaded)}
    body = get(serve, "/v1/models/digits", engine=engine, routes=[route(versions=versions)]).json()
    Model.model_validate(body)
    regression, older, unknown = body["versions"]
    assert (regression["task"], regression["output"], regression["warnings"]) == ("regression", schema, ["no units"])
    assert (regression["classes"], regression["num_classes"]) == ([], 0)
    # A worker of an earlier release told only its labels.
    assert (older["task"], older["num_classes"]) == ("classification", 3)
    assert older["output"] == output_schema(Task.CLASSIFICATION, labels=["0", "1", "2"])
    assert (unknown["task"], unknown["output"], unknown["warnings"]) == (None, None, [])


def test_the_interface_of_a_version_names_its_outputs(serve: Serve) -> None:
    schema = output_schema(Task.EMBEDDING, options={"dimensions": 512})
    versions = {"9": replace(version("9"), task=Task.EMBEDDING, output=schema)}
    path = "/v1/models/darkroom/digits/versions/9"
    shown = get(serve, path, routes=[route(versions=versions)]).json()["openapi_schema"]
    assert shown["components"]["schemas"]["Output"] == schema


def test_a_version_shows_how_it_is_computed_and_how_far_that_agrees(serve: Serve, engine: Engine) -> None:
    agreement = Agreement(images=400, top1=0.9975, largest_difference=0.0118)
    lossy = replace(version("10"), decode="fast", precision="fp16", agreement=agreement)
    exact = replace(version("9"), decode="exact", precision="fp32")
    versions = {one.number: one for one in (lossy, exact, version("8"))}
    body = get(serve, "/v1/models/digits", engine=engine, routes=[route(versions=versions)]).json()
    Model.model_validate(body)
    assert [(v["decode"], v["precision"], v["agreement"]) for v in body["versions"]] == [
        ("fast", "fp16", {"images": 400, "top1": 0.9975, "largest_difference": 0.0118}),
        ("exact", "fp32", None),
        (None, None, None),
    ]


def test_a_list_holds_every_model_on_one_page(serve: Serve, engine: Engine) -> None:
    body = get(serve, "/v1/models", engine=engine, routes=[route(), route(model="letters")]).json()
    ModelList.model_validate(body)
    assert [model["name"] for model in body["results"]] == ["digits", "letters"]
    assert (body["next"], body["previous"]) == (None, None)


def test_a_models_load_counts_live_workers_and_waiting_images(
    serve: Serve, engine: Engine, redis_client: "redis.Redis"
) -> None:
    redis_client.zadd(keys.workers(DIGITS), {"here": now_us() - 2_000_000, "gone": now_us() - 11_000_000})
    for _ in range(3):
        redis_client.xadd(keys.lane(DIGITS, keys.INTERACTIVE), {"image": b"x"})
    body = get(serve, "/v1/models/digits", engine=engine).json()
    assert (body["workers"], body["loaded_workers"], body["lane_depth"], body["run_count"]) == (1, 0, 3, 0)


def test_a_model_is_shown_while_postgres_is_down(serve: Serve, nowhere: Engine) -> None:
    response = get(serve, "/v1/models/digits", engine=nowhere)
    assert (response.status_code, response.json()["run_count"]) == (200, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/cats",
        "/v1/models/darkroom/cats",
        "/v1/models/darkroom/cats/versions",
        "/v1/models/darkroom/digits/versions/12",
        "/v1/models/darkroom/digits/versions/11",
        "/v1/models/darkroom/digits/versions/digits@nobody",
    ],
)
def test_a_version_that_does_not_serve_is_unknown(serve: Serve, path: str) -> None:
    response = get(serve, path)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-model")


def test_versions_are_listed_newest_first(serve: Serve) -> None:
    body = get(serve, "/v1/models/darkroom/digits/versions").json()
    VersionList.model_validate(body)
    assert [v["id"] for v in body["results"]] == ["10", "9"]


@pytest.mark.parametrize("id", ["9", "digits:9", "digits@champion", "champion"])
def test_a_version_is_found_by_each_of_its_names(serve: Serve, id: str) -> None:
    body = get(serve, f"/v1/models/darkroom/digits/versions/{id}").json()
    Version.model_validate(body)
    assert body["id"] == "9"
    schemas = body["openapi_schema"]["components"]["schemas"]
    assert schemas["Input"]["required"] == ["image"]
    assert schemas["Output"]["type"] == "object"


def test_replicates_client_reads_models_and_versions(serve: Serve, engine: Engine) -> None:
    from replicate.model import Model as TheirModel  # noqa: PLC0415  it takes a second to import
    from replicate.version import Version as TheirVersion  # noqa: PLC0415

    theirs = TheirModel(**get(serve, "/v1/models/darkroom/digits", engine=engine).json())
    assert theirs.id == "darkroom/digits"
    assert theirs.latest_version is not None
    assert theirs.latest_version.id == "9"
    assert TheirVersion(**get(serve, "/v1/models/darkroom/digits/versions/10").json()).cog_version == "darkroom"


def test_traffic_follows_the_aliases() -> None:
    assert traffic(route(aliases={"champion": "9"})) == {"champion": 100}
    assert traffic(route(aliases={"shadow": "9"})) == {}


def test_without_a_champion_the_newest_version_is_the_latest(serve: Serve, engine: Engine) -> None:
    body = get(serve, "/v1/models/digits", engine=engine, routes=[route(aliases={})]).json()
    assert body["latest_version"]["id"] == "10"
    bare = get(serve, "/v1/models/digits", engine=engine, routes=[route(aliases={}, versions={})]).json()
    assert bare["latest_version"] is None
