"""What `up` says of models that do not serve, on a real Redis."""

from pathlib import Path

import pytest
import redis

from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.state import StackState
from cli.up.model_notes import model_notes
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from shared.queue import model_routes
from tests.support.servers import RedisServer

ONE, TWO = (VersionNumber(number) for number in ("1", "2"))
VERSIONS = {ONE: Version(number=ONE, key=VersionKey("1-a"), created_at="")}


def stack(server: RedisServer, *models: str) -> StackState:
    stores = {"DARKROOM_REDIS_URL": server.url}
    return StackState(supervisor=ProcessIdentity(1, 0), url="", models=list(models), stores=stores, sockets="")


def publish(client: redis.Redis, name: str, **facts: object) -> None:
    members = {"aliases": {"champion": ONE}, "versions": VERSIONS} | facts
    model_routes.publish(client, Route(model=ModelName(name), description="", **members))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({}, ""),
        (
            {"failed": {TWO: "ModelError: no labels"}},
            "zoo serves version 1, but version 2 can't be loaded: ModelError: no labels",
        ),
        (
            {"aliases": {}, "failed": {TWO: "ModelError: no labels"}},
            "zoo does not serve: version 2 can't be loaded: ModelError: no labels",
        ),
        ({"aliases": {}}, "zoo has no champion. Make one: "),
        ({"aliases": {}, "versions": {}}, "zoo is not registered. Register it, in MLflow or like this"),
    ],
)
def test_a_model_that_does_not_serve_is_told_with_the_reason(
    redis_server: RedisServer, redis_client: redis.Redis, tmp_path: Path, facts: dict[str, object], note: str
) -> None:
    publish(redis_client, "zoo", **facts)
    for models in ([], ["zoo"]):
        notes = model_notes(stack(redis_server, *models), tmp_path)
        assert [one[: len(note)] for one in notes] == [note] * bool(note)


def test_a_stack_without_any_model_says_the_two_lines_to_type(
    redis_server: RedisServer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    text = "\n".join(model_notes(stack(redis_server), tmp_path))
    assert "models add NAME --torchvision resnet50" in text
    assert "models promote NAME latest" in text
    text = "\n".join(model_notes(stack(redis_server, "zoo"), tmp_path))
    assert text.startswith("zoo is not registered.")
    assert "models promote zoo latest" in text
    model_routes.retire(redis_client, ModelName("zoo"))
    assert model_notes(stack(redis_server, "zoo"), tmp_path)[0].startswith("zoo is retired. Bring it back: ")
