"""`darkroom models`, on a real Redis."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from cli.models import run as models
from cli.models import watching
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Agreement, Route, Version
from shared.queue import keys, model_routes
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.command_forks import Ended, command_forks
from tests.support.servers import RedisServer

Run = Callable[..., Ended]
ONE = VersionNumber("1")
VERSION = Version(number=ONE, key=VersionKey("1-a"), created_at="", decode="exact", precision="fp32")


@pytest.fixture
def run(redis_server: RedisServer, tmp_path: Path) -> Run:
    """Run the command on this Redis."""

    def run(*words: str) -> Ended:
        return command_forks().run("models", *words, home=tmp_path, DARKROOM_REDIS_URL=redis_server.url)

    return run


def publish(client: redis.Redis, name: str, **facts: object) -> None:
    members = {"aliases": {"champion": ONE}, "versions": {ONE: VERSION}} | facts
    model_routes.publish(client, Route(model=ModelName(name), description="", **members))  # type: ignore[arg-type]


def rows(listed: str) -> dict[str, list[str]]:
    """The cells of each model's row."""
    _, *lines = listed.splitlines()
    return {name: rest.split(maxsplit=6) for name, rest in (line.split(maxsplit=1) for line in lines)}


def test_the_list_shows_which_models_serve_and_why_others_do_not(run: Run, redis_client: redis.Redis) -> None:
    assert run("list").stdout.startswith("No model is served.")
    for name in ("digits", "away", "old"):
        publish(redis_client, name)
    agreement = Agreement(images=400, top1=0.9975, largest_difference=0.02)
    lossy = replace(VERSION, decode="fast", precision="fp16", agreement=agreement)
    publish(redis_client, "gone", versions={ONE: lossy})
    publish(redis_client, "bad", aliases={}, failed={ONE: "OSError: no files"})
    Lanes(redis_client, model=ModelName("digits"), consumer="w", settings=Queue()).sign_of_life()
    redis_client.xadd(keys.lane(ModelName("away"), keys.INTERACTIVE), {"image": "x"})
    model_routes.retire(redis_client, ModelName("old"))
    model_routes.withdraw(redis_client, ModelName("gone"))
    withdrawn = "withdrawn: no worker serves it, or it is no longer registered"
    assert rows(run("list").stdout) == {
        "away": ["1", "exact", "fp32", "–", "0", "1", "no worker: its images wait"],
        "bad": ["–", "–", "–", "–", "0", "0", "version 1 can't be loaded: OSError: no files"],
        "digits": ["1", "exact", "fp32", "–", "1", "0", "serves"],
        "gone": ["1", "fast", "fp16", "99.75%", "0", "0", withdrawn],
        "old": ["1", "exact", "fp32", "–", "0", "0", "retired"],
    }


def test_a_model_is_retired_and_restored(run: Run, redis_client: redis.Redis) -> None:
    publish(redis_client, "it's")
    for _ in range(2):
        done = run("retire", "it's")
        assert (done.returncode, done.stdout.splitlines()[0]) == (
            0,
            "Retired it's: new images for it are refused from now on (404), whatever is promoted.",
        )
    assert model_routes.names(redis_client) == []
    restored, again = run("restore", "it's", "--no-wait"), run("restore", "it's", "--no-wait")
    assert (restored.returncode, restored.stdout) == (0, "Restored it's.\n")
    assert (again.returncode, again.stdout) == (0, "it's is not retired.\n")


@pytest.mark.parametrize("command", ["retire", "restore", "show"])
def test_an_unknown_model_name_is_refused(run: Run, redis_client: redis.Redis, command: str) -> None:
    publish(redis_client, "digits")
    done = run(command, "digit")
    assert done.returncode == 1
    assert "There is no model 'digit'. There is: digits." in done.stderr + done.stdout


def test_a_model_that_is_restored_is_waited_for_until_a_worker_serves_it(
    redis_server: RedisServer, redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Whoever typed it may ask at once; killed while it waits, the same command waits on."""
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)
    publish(redis_client, "digits")
    model_routes.retire(redis_client, ModelName("digits"))
    looks: list[float] = []

    def killed_then_published(pause: float) -> None:
        looks.append(pause)
        if len(looks) == 1:
            raise KeyboardInterrupt
        publish(redis_client, "digits")

    monkeypatch.setattr(watching, "_sleep", killed_then_published)
    with pytest.raises(KeyboardInterrupt):
        models.restore(tmp_path, "digits", wait=True)
    models.restore(tmp_path, "digits", wait=True)
    said = capsys.readouterr().out
    assert said.startswith("Restored digits.\ndigits is not retired.\nIt serves (")
    assert len(looks) == 2


def test_an_unreachable_redis_is_reported(redis_server: RedisServer, tmp_path: Path) -> None:
    done = command_forks().run("models", "list", home=tmp_path, DARKROOM_REDIS_URL=f"{redis_server.url}.nowhere")
    assert done.returncode == 1
    assert "The models can't be reached" in done.stderr + done.stdout
