"""`darkroom models promote`, `rollback`, `challenger` and `show`, on a real MLflow registry and a real Redis.

Over 300 lines: each command is tried with all that may keep its change from coming about.
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from cli.models import aliases, canary, run, turns, watching
from cli.terminal.refused import Refused
from shared.domain import registry_change
from shared.domain.canary_changes import CanaryTerms
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Agreement, Gone, Route, Version
from shared.queue import keys, model_routes
from shared.queue.model_turns import ModelTurns
from tests.support.servers import RedisServer

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

NAME = "zoo"
UNTIL = "it goes on serving until another version is champion or the model is retired"


@pytest.fixture
def registry(mlflow_store: "MlflowStore", monkeypatch: pytest.MonkeyPatch) -> "MlflowStore":
    """A registry with four versions of `zoo`, of which the fourth is not ready; commands use it, and no Redis."""
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", mlflow_store.url)
    client = mlflow_store.client
    client.create_registered_model(NAME)
    for number in range(4):
        client.create_model_version(NAME, f"file:///nowhere/{number}")
    mlflow_store.set_status(NAME, 4, "FAILED_REGISTRATION")
    return mlflow_store


@pytest.fixture
def champion(registry: "MlflowStore") -> Callable[[], str | None]:
    """Return the champion's number."""
    return lambda: str(registry.client.get_registered_model(NAME).aliases.get("champion"))


def test_a_promotion_remembers_the_champion_before_and_a_rollback_goes_to_it(
    registry: "MlflowStore", champion: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aliases.promote(tmp_path, NAME, "1", wait=True)
    assert "Workers serve it once they run." in capsys.readouterr().out
    aliases.promote(tmp_path, NAME, "latest", wait=False)
    assert (champion(), registry.client.get_registered_model(NAME).tags["darkroom.previous_champion"]) == ("3", "1")
    assert "Promoted version 3 of zoo, before it was 1. Undo it: " in capsys.readouterr().out
    aliases.promote(tmp_path, NAME, "3", wait=False)
    assert "is its champion already" in capsys.readouterr().out
    aliases.rollback(tmp_path, NAME, wait=False)
    assert champion() == "1"
    assert "Rolled zoo back from version 3 to 1, its champion before." in capsys.readouterr().out
    with pytest.raises(Refused, match=r"^Version 1 of zoo has no version before it. Ready are: 1, 2, 3.$"):
        aliases.rollback(tmp_path, NAME, wait=False)


def test_a_rollback_without_a_known_champion_before_goes_to_the_next_lower_ready_version(
    registry: "MlflowStore", champion: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.client.set_registered_model_alias(NAME, "champion", "3")
    aliases.rollback(tmp_path, NAME, wait=False)
    assert champion() == "2"
    assert "from version 3 to 2, the next lower ready version." in capsys.readouterr().out
    registry.client.set_registered_model_alias(NAME, "champion", "3")
    registry.client.set_registered_model_tag(NAME, "darkroom.previous_champion", "4")
    aliases.rollback(tmp_path, NAME, wait=False)
    assert "the next lower ready version (its champion before, 4, is no longer ready)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("zo", "1", "No model 'zo' is registered. There is: zoo."),
        (NAME, "9", "zoo has no version 9. Ready are: 1, 2, 3."),
        (NAME, "4", "Version 4 of zoo is not ready: MLflow says FAILED_REGISTRATION."),
    ],
)
@pytest.mark.usefixtures("registry")
def test_what_can_not_be_promoted_is_refused_with_the_reason(tmp_path: Path, name: str, version: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        aliases.promote(tmp_path, name, version, wait=False)
    assert str(refused.value) == why


def test_a_challenger_gets_its_share_until_it_is_ended(
    registry: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused, match="has no champion to challenge"):
        aliases.challenger(tmp_path, NAME, "2", percent=30, wait=False)
    aliases.promote(tmp_path, NAME, "1", wait=False)
    aliases.challenger(tmp_path, NAME, "2", percent=30, wait=False)
    model = registry.client.get_registered_model(NAME)
    assert (str(model.aliases["challenger"]), model.tags["darkroom.challenger_percent"]) == ("2", "30")
    for _ in range(2):
        aliases.end_challenger(tmp_path, NAME)
    model = registry.client.get_registered_model(NAME)
    assert ("challenger" in model.aliases, "darkroom.challenger_percent" in model.tags) == (False, False)
    assert "zoo has no challenger." in capsys.readouterr().out


def test_a_shadow_gets_its_share_until_it_is_ended(
    registry: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused, match="has no champion to compare with"):
        aliases.shadow(tmp_path, NAME, "2", percent=30, wait=False)
    aliases.promote(tmp_path, NAME, "1", wait=False)
    with pytest.raises(Refused, match="is its champion: a shadow is another version"):
        aliases.shadow(tmp_path, NAME, "1", percent=30, wait=False)
    aliases.shadow(tmp_path, NAME, "2", percent=30, wait=False)
    model = registry.client.get_registered_model(NAME)
    assert (str(model.aliases["shadow"]), model.tags["darkroom.shadow_percent"]) == ("2", "30")
    for _ in range(2):
        aliases.end_shadow(tmp_path, NAME)
    model = registry.client.get_registered_model(NAME)
    assert ("shadow" in model.aliases, "darkroom.shadow_percent" in model.tags) == (False, False)
    assert "zoo has no shadow." in capsys.readouterr().out


def test_a_registry_that_is_away_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Refused, match="The registry can't be asked: ") as refused:
        aliases.promote(tmp_path, NAME, "1", wait=False)
    assert len(str(refused.value).splitlines()) == 1


@pytest.fixture
def published(
    redis_server: RedisServer, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Publish a route as a worker does."""
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)

    def publish(**facts: object) -> None:
        model_routes.publish(redis_client, Route(model=ModelName(NAME), description="Animals", **facts))  # type: ignore[arg-type]

    return publish


ONE, TWO = (
    Version(number=VersionNumber(n), key=VersionKey(f"{n}-a"), created_at="2026-01-31T12:00:00Z") for n in ("1", "2")
)


COMMANDS: dict[str, Callable[[Path], None]] = {
    "promote": lambda home: aliases.promote(home, NAME, "2", wait=False),
    "rollback": lambda home: aliases.rollback(home, NAME, wait=False),
    "challenger": lambda home: aliases.challenger(home, NAME, "1", percent=10, wait=False),
    "challenger --off": lambda home: aliases.end_challenger(home, NAME),
    "shadow": lambda home: aliases.shadow(home, NAME, "1", percent=10, wait=False),
    "shadow --off": lambda home: aliases.end_shadow(home, NAME),
    "canary": lambda home: canary.start(home, NAME, "1", CanaryTerms()),
    "canary --off": lambda home: canary.stop(home, NAME, patience=timedelta(0)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_other_change_begins_between_what_a_command_reads_and_writes(
    registry: "MlflowStore",
    published: Callable[..., None],
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    published(aliases={}, versions={})
    registry.client.set_registered_model_alias(NAME, "champion", "3")
    if command == "canary --off":
        canary.start(tmp_path, NAME, "1", CanaryTerms())
    turns_taken: list[str] = []
    carry_out = registry_change.carry_out

    def carry_out_beside_others(*arguments: Any) -> None:
        before = registry.client.get_registered_model(NAME)
        with ModelTurns(redis_client, worker="another").held(ModelName(NAME)) as turn:
            assert turn is None
        with monkeypatch.context() as briefly:
            briefly.setattr(registry_change, "carry_out", carry_out)
            briefly.setattr(turns, "PATIENCE", timedelta(milliseconds=1))
            for name in ("promote", "rollback", "challenger", "shadow", "canary"):
                with pytest.raises(Refused, match="Another change of zoo has been under way"):
                    COMMANDS[name](tmp_path)
                turns_taken.append(name)
        now = registry.client.get_registered_model(NAME)
        assert (now.aliases, now.tags) == (before.aliases, before.tags)
        carry_out(*arguments)

    with monkeypatch.context() as watched, contextlib.suppress(Refused):  # no worker moves a canary's traffic back
        watched.setattr(registry_change, "carry_out", carry_out_beside_others)
        COMMANDS[command](tmp_path)
    assert len(turns_taken) == 5
    # Its turn ended with it.
    aliases.promote(tmp_path, NAME, "1", wait=False)


def test_a_command_whose_turn_is_over_writes_nothing_more(
    registry: "MlflowStore",
    published: Callable[..., None],
    champion: Callable[[], str],
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(aliases={}, versions={})
    registry.client.set_registered_model_alias(NAME, "champion", "1")
    carry_out = registry_change.carry_out

    def carry_out_late(*arguments: Any) -> None:
        redis_client.set(keys.model_turn(ModelName(NAME)), "another's")
        carry_out(*arguments)

    monkeypatch.setattr(registry_change, "carry_out", carry_out_late)
    with pytest.raises(Refused, match="somebody else may change zoo now"):
        aliases.promote(tmp_path, NAME, "2", wait=False)
    assert champion() == "1"
    assert redis_client.get(keys.model_turn(ModelName(NAME))) == b"another's"


def test_without_redis_nobody_has_a_turn_and_a_command_writes(
    champion: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://127.0.0.1:1/0")
    aliases.promote(tmp_path, NAME, "2", wait=False)
    assert champion() == "2"


@pytest.mark.usefixtures("registry")
def test_a_promotion_waits_until_the_version_serves(
    published: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(aliases={"champion": TWO.number}, versions={ONE.number: ONE, TWO.number: TWO})
    aliases.promote(tmp_path, NAME, "2", wait=True)
    assert "Version 2 serves as champion (0." in capsys.readouterr().out


def test_another_share_and_an_ended_challenger_are_told_once_the_route_says_so(
    registry: "MlflowStore",
    published: Callable[..., None],
    redis_client: redis.Redis,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {"champion": ONE.number, "challenger": TWO.number}
    versions = {ONE.number: ONE, TWO.number: TWO}
    published(aliases=both, versions=versions, challenger_percent=10)
    keys_of_worker = {"w": 2**52}
    redis_client.zadd(keys.workers(ModelName(NAME)), keys_of_worker)
    registry.client.set_registered_model_alias(NAME, "champion", "1")
    looked: list[float] = []

    def publish_at_second_look(pause: float) -> None:
        looked.append(pause)
        published(**changed)

    monkeypatch.setattr(watching, "_sleep", publish_at_second_look)
    changed: dict[str, Any] = {"aliases": both, "versions": versions, "challenger_percent": 30}
    aliases.challenger(tmp_path, NAME, "2", percent=30, wait=True)
    assert "Version 2 serves as challenger (0." in capsys.readouterr().out
    changed = {"aliases": {"champion": ONE.number}, "versions": versions}
    aliases.end_challenger(tmp_path, NAME)
    assert "Every gateway answers by that (0." in capsys.readouterr().out
    assert len(looked) == 2
    published(aliases=both, versions=versions)
    registry.client.set_registered_model_alias(NAME, "challenger", "2")
    redis_client.zrem(keys.workers(ModelName(NAME)), *keys_of_worker)
    aliases.end_challenger(tmp_path, NAME)
    assert "once a worker serves this model: none does now." in capsys.readouterr().out


@pytest.mark.usefixtures("registry")
def test_a_promotion_of_a_version_that_does_not_load_is_refused_with_the_reason(
    published: Callable[..., None], tmp_path: Path
) -> None:
    failed = {TWO.number: "RuntimeError: size mismatch for fc.weight"}
    published(aliases={"champion": ONE.number}, versions={ONE.number: ONE, TWO.number: TWO}, failed=failed)
    with pytest.raises(Refused) as refused:
        aliases.promote(tmp_path, NAME, "2", wait=True)
    why = "Version 2 can't be loaded: RuntimeError: size mismatch for fc.weight. Version 1 goes on serving."
    assert str(refused.value) == why


def test_a_promotion_that_a_pin_overrules_is_told_at_once(
    registry: "MlflowStore", published: Callable[..., None], tmp_path: Path
) -> None:
    versions = {ONE.number: ONE, TWO.number: TWO}
    published(aliases={"champion": ONE.number}, versions=versions, pin="DARKROOM_REGISTRY_PINS pins version 1")
    with pytest.raises(
        Refused, match=r"^Version 2 does not serve: DARKROOM_REGISTRY_PINS pins version 1\. It serves once"
    ):
        aliases.promote(tmp_path, NAME, "2", wait=True)
    assert str(registry.client.get_registered_model(NAME).aliases["champion"]) == "2"


def test_a_version_that_cannot_be_loaded_is_shown_as_one(
    published: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(aliases={}, versions={ONE.number: ONE, TWO.number: TWO}, failed={ONE.number: "ModelError: no labels"})
    run.show_model(tmp_path, NAME)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line.partition("–")[2] for line in lines if line.startswith(("1 ", "2 "))] == [
        " – – not loaded yet 2026-01-31T12:00:00Z",
        " – – can't be loaded 2026-01-31T12:00:00Z",
    ]


def test_a_model_is_shown_with_its_versions_warnings_and_failures(
    published: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = Version(
        number=TWO.number,
        key=TWO.key,
        created_at=TWO.created_at,
        labels=tuple("abcdefgh"),
        decode="fast",
        precision="fp16",
        agreement=Agreement(images=400, top1=0.9975, largest_difference=0.02),
        task="multilabel",
        warnings=("the rows sum to 1",),
    )
    published(
        aliases={"champion": TWO.number, "challenger": ONE.number},
        versions={ONE.number: ONE, TWO.number: loaded},
        challenger_percent=30,
        failed={VersionNumber("3"): "ModelError: no labels"},
        gone={ONE.number: Gone.ALIAS},
        pin="DARKROOM_REGISTRY_PINS pins version 2",
    )
    run.show_model(tmp_path, NAME)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "zoo: Animals",
        "",
        "state no worker: its images wait",
        "workers 0, on cpu, 64 images at once at most",
        "waiting 0",
        "traffic champion 70%, challenger 30%",
        "pin DARKROOM_REGISTRY_PINS pins version 2",
        "",
        "version aliases task labels computes registered",
        "2 champion multilabel 8: a, b, c, d, e, f, … fast, fp16, agrees 99.75% 2026-01-31T12:00:00Z",
        "1 challenger – – not loaded yet 2026-01-31T12:00:00Z",
        "",
        "Warnings:",
        "version 2: the rows sum to 1",
        "",
        "Notices:",
        "no alias names version 1 in the registry any more; " + UNTIL,
        "",
        "Can't be loaded:",
        "version 3: ModelError: no labels",
    ]
    with pytest.raises(Refused, match=r"There is no model 'zo'. There is: zoo."):
        run.show_model(tmp_path, "zo")
