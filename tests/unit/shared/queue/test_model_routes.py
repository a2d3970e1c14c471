"""A route is read as it was written, and by releases that know fewer or more of its members."""

import orjson
import pytest

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Agreement, Route, Version
from shared.queue import model_routes

ONE = VersionNumber("1")
VERSION = Version(
    number=ONE,
    key=VersionKey("1-a"),
    created_at="",
    labels=("dark", "light"),
    decode="fast",
    precision="fp16",
    agreement=Agreement(images=256, top1=0.996, largest_difference=0.02),
    task="multilabel",
    output={"type": "object", "required": ["scores"]},
    warnings=("no units",),
)


def route(version: Version) -> Route:
    return Route(model=ModelName("shade"), description="", aliases={"champion": ONE}, versions={ONE: version})


@pytest.mark.parametrize("version", [VERSION, Version(number=ONE, key=VersionKey("1-a"), created_at="")])
def test_a_route_is_read_as_it_was_written(version: Version) -> None:
    assert model_routes.parse(orjson.dumps(route(version))) == route(version)


def test_a_route_of_an_older_release_says_nothing_of_what_a_version_loses() -> None:
    written = orjson.loads(orjson.dumps(route(VERSION)))
    for member in ("decode", "precision", "agreement", "task", "output", "warnings"):
        del written["versions"]["1"][member]
    version = model_routes.parse(orjson.dumps(written)).versions[ONE]
    assert (version.decode, version.precision, version.agreement) == (None, None, None)
    assert (version.task, version.output, version.warnings) == ("classification", {}, ())
    assert version.labels == ("dark", "light")


def test_members_of_a_newer_release_are_ignored_at_every_level() -> None:
    written = orjson.loads(orjson.dumps(route(VERSION)))
    for members in (written, written["versions"]["1"], written["versions"]["1"]["agreement"]):
        members["of_tomorrow"] = {"a": [1]}
    assert model_routes.parse(orjson.dumps(written)) == route(VERSION)
