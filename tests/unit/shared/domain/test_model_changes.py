"""What is planned to be written to the registry: each plan may be carried out twice, and undoes what it says."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from shared.domain import canary_changes, model_changes
from shared.domain.canary import CANARY_TAG, Phase
from shared.domain.canary_changes import CanaryTerms
from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHALLENGER_PERCENT, PREVIOUS_CHAMPION, SHADOW_PERCENT
from shared.domain.registered_model import READY, RegisteredModel
from shared.domain.registry_change import Change, carry_out

DIGITS = ModelName("digits")


@dataclass
class KeptRegistry:
    """A registry that is one model."""

    model: RegisteredModel

    def set_tag(self, model: ModelName, name: str, value: str) -> None:
        assert model == self.model.name
        self.model.tags[name] = value

    def delete_tag(self, model: ModelName, name: str) -> None:
        assert model == self.model.name
        self.model.tags.pop(name, None)

    def set_alias(self, model: ModelName, alias: str, version: VersionNumber) -> None:
        assert model == self.model.name
        self.model.aliases[alias] = version

    def delete_alias(self, model: ModelName, alias: str) -> None:
        assert model == self.model.name
        self.model.aliases.pop(alias, None)


def digits(*ready: str, **aliases: str) -> RegisteredModel:
    versions = {VersionNumber(number): READY for number in ready or ("1", "2", "10")}
    named = {alias: VersionNumber(number) for alias, number in aliases.items()}
    return RegisteredModel(name=DIGITS, aliases=named, tags={}, versions=versions)


def after(model: RegisteredModel, change: Change) -> RegisteredModel:
    """Return the model with the change carried out; carried out again, from any write on, it is the same."""
    registry = KeptRegistry(replace(model, aliases=dict(model.aliases), tags=dict(model.tags)))
    carry_out(registry, model.name, change.writes)
    once = replace(registry.model, aliases=dict(registry.model.aliases), tags=dict(registry.model.tags))
    carry_out(registry, model.name, change.writes)
    assert registry.model == once
    return once


def refused(plan: object) -> str:
    with pytest.raises(ChangeRefused) as error:
        plan()  # type: ignore[operator]
    return error.value.reason


def test_a_promotion_remembers_the_champion_before_and_a_rollback_goes_back_to_it() -> None:
    change = model_changes.promote(digits(champion="2"), "latest")
    assert change.said == "Promoted version 10 of digits, before it was 2."
    assert (change.alias, change.version, change.undo) == ("champion", "10", "models rollback digits")
    # Killed after the first write, the version before still serves.
    assert [write.name for write in change.writes] == [PREVIOUS_CHAMPION, "champion"]
    promoted = after(digits(champion="2"), change)
    assert promoted.aliases == {"champion": "10"}
    back = model_changes.roll_back(promoted)
    assert back.said == "Rolled digits back from version 10 to 2, its champion before."
    assert after(promoted, back).aliases == {"champion": "2"}
    # Again: to a lower one, not to what was left.
    again = model_changes.roll_back(after(promoted, back))
    assert again.said == "Rolled digits back from version 2 to 1, the next lower ready version."


def test_what_is_promoted_has_no_share_any_more_also_after_a_kill_in_between() -> None:
    """Left behind, the share of a version that was champion would be given to it beside the next one."""
    shares = {CHALLENGER_PERCENT: "30", SHADOW_PERCENT: "100", "darkroom.timeout": "5"}
    model = replace(digits(champion="1", challenger="2", shadow="2"), tags=shares)
    change = model_changes.promote(model, "2")
    assert change.said.endswith("before it was 1. It is no challenger and no shadow any more.")
    for done in range(len(change.writes) + 1):
        registry = KeptRegistry(replace(model, aliases=dict(model.aliases), tags=dict(model.tags)))
        carry_out(registry, DIGITS, change.writes[:done])
        promoted = after(registry.model, model_changes.promote(registry.model, "2"))
        assert promoted.aliases == {"champion": "2"}
        assert promoted.tags == {PREVIOUS_CHAMPION: "1", "darkroom.timeout": "5"}
    other = replace(digits(champion="1", challenger="10"), tags={CHALLENGER_PERCENT: "30"})
    assert after(other, model_changes.promote(other, "2")).aliases == {"champion": "2", "challenger": "10"}


@pytest.mark.parametrize(
    "text", ["2", "digits:2", "models:/digits/2", "owner/digits:2", "digits@shadow", "models:/digits@shadow"]
)
def test_a_version_is_written_as_clients_and_mlflow_write_it(text: str) -> None:
    assert digits("1", "2", champion="1", shadow="2").ready_version(text) == "2"


@pytest.mark.parametrize("text", ["pets:2", "models:/pets/2", "digits", "digits@gone", "models:/digits", "v2", "@", ""])
def test_what_is_no_version_of_the_model_is_refused(text: str) -> None:
    assert refused(lambda: digits("1", "2").ready_version(text)) == f"digits has no version {text}. Ready are: 1, 2"


PLANS: dict[str, tuple[RegisteredModel, Callable[[RegisteredModel], Change]]] = {
    "promote": (digits(champion="2", challenger="10"), lambda model: model_changes.promote(model, "10")),
    "roll_back": (
        replace(digits("1", "2", "9", "10", champion="10"), tags={PREVIOUS_CHAMPION: "2"}),
        model_changes.roll_back,
    ),
    "roll_back to a lower version": (digits(champion="10"), model_changes.roll_back),
    "roll_back past a version that is gone": (
        replace(digits("1", "2", "10", champion="10"), tags={PREVIOUS_CHAMPION: "5"}),
        model_changes.roll_back,
    ),
    "challenger": (digits(champion="2"), lambda model: model_changes.begin_challenger(model, "10", percent=3)),
    "challenger --off": (
        replace(digits(champion="2", challenger="10"), tags={CHALLENGER_PERCENT: "3"}),
        model_changes.end_challenger,
    ),
    "shadow": (digits(champion="2"), lambda model: model_changes.begin_shadow(model, "10", percent=3)),
    "shadow --off": (replace(digits(champion="2", shadow="10"), tags={SHADOW_PERCENT: "3"}), model_changes.end_shadow),
    "canary": (digits(champion="2"), lambda model: canary_changes.begin_canary(model, "10", CanaryTerms(), now=1.0)),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_change_that_was_killed_after_any_write_is_planned_anew_and_ends_the_same(name: str) -> None:
    model, plan = PLANS[name]
    change = plan(model)
    whole = after(model, change)
    assert whole != model
    for done in range(len(change.writes)):
        registry = KeptRegistry(replace(model, aliases=dict(model.aliases), tags=dict(model.tags)))
        carry_out(registry, DIGITS, change.writes[:done])
        assert after(registry.model, plan(registry.model)) == whole


def test_a_rollback_after_a_promotion_that_was_killed_leaves_the_version_that_serves() -> None:
    model = digits(champion="2")
    registry = KeptRegistry(model)
    carry_out(registry, DIGITS, model_changes.promote(model, "10").writes[:1])
    back = model_changes.roll_back(registry.model)
    assert back.said.startswith("Version 2 of digits serves, and was its champion before")
    assert after(registry.model, back).aliases == {"champion": "2"}
    assert model_changes.roll_back(after(registry.model, back)).version == "1"


def test_the_first_champion_has_none_before_it() -> None:
    change = model_changes.promote(digits(), "1")
    assert (change.said, change.undo) == ("Promoted version 1 of digits.", "")
    assert after(digits(), change).tags == {}


def test_a_champion_that_is_promoted_again_is_not_written() -> None:
    change = model_changes.promote(digits(champion="2"), "2")
    assert (change.writes, change.version) == ((), "2")


def test_a_champion_before_that_is_not_ready_any_more_is_passed_over() -> None:
    model = replace(digits("1", "10", champion="10"), tags={PREVIOUS_CHAMPION: "2"})
    assert model_changes.roll_back(model).said == (
        "Rolled digits back from version 10 to 1, the next lower ready version "
        "(its champion before, 2, is no longer ready)."
    )


@pytest.mark.parametrize(
    ("model", "champion", "reason"),
    [
        (digits(), None, "digits has no champion"),
        (digits(champion="2"), "1", "The champion of digits is version 2, not 1: nothing was rolled back"),
        (digits("1", "2", champion="1"), None, "Version 1 of digits has no version before it. Ready are: 1, 2"),
    ],
)
def test_a_rollback_is_refused(model: RegisteredModel, champion: str | None, reason: str) -> None:
    assert refused(lambda: model_changes.roll_back(model, champion=champion)) == reason


def test_a_share_begins_and_ends() -> None:
    model = digits(champion="1")
    for begin, end, alias, tag in (
        (model_changes.begin_challenger, model_changes.end_challenger, "challenger", CHALLENGER_PERCENT),
        (model_changes.begin_shadow, model_changes.end_shadow, "shadow", SHADOW_PERCENT),
    ):
        change = begin(model, "2", percent=25)
        assert "25%" in change.said
        begun = after(model, change)
        assert (begun.aliases[alias], begun.tags[tag]) == ("2", "25")
        # The share is written before the alias: killed in between, nothing serves with another's share.
        assert [write.kind for write in change.writes] == ["tag", "alias"]
        assert after(begun, end(begun)) == model
        assert end(model).writes == ()


@pytest.mark.parametrize(
    ("number", "model", "reason"),
    [
        ("3", digits(champion="1"), "digits has no version 3. Ready are: 1, 2, 10"),
        ("2", digits(), "has no champion"),
        ("4", replace(digits(champion="1"), versions={VersionNumber("4"): "PENDING_REGISTRATION"}), "is not ready"),
    ],
)
def test_what_can_not_have_a_share_is_refused(number: str, model: RegisteredModel, reason: str) -> None:
    for plan in (
        lambda: model_changes.begin_challenger(model, number, percent=1),
        lambda: model_changes.begin_shadow(model, number, percent=1),
        lambda: canary_changes.begin_canary(model, number, CanaryTerms(), now=0.0),
    ):
        assert reason in refused(plan)


def test_a_shadow_or_a_canary_is_another_version_than_the_champion() -> None:
    model = digits(champion="2")
    assert "is its champion" in refused(lambda: model_changes.begin_shadow(model, "2", percent=1))
    assert "is its champion" in refused(lambda: canary_changes.begin_canary(model, "2", CanaryTerms(), now=0.0))


def test_a_canary_begins_once_and_is_stopped_once() -> None:
    model = digits(champion="1")
    begun = after(model, canary_changes.begin_canary(model, "2", CanaryTerms(steps=(5, 100), every=60.0), now=7.0))
    canary = canary_changes.read_canary(begun)
    assert canary is not None
    assert (canary.version, canary.champion, canary.began, canary.steps, canary.every) == (
        "2",
        "1",
        7.0,
        (5, 100),
        60.0,
    )
    assert "runs" in refused(lambda: canary_changes.begin_canary(begun, "10", CanaryTerms(), now=8.0))
    stopped = after(begun, canary_changes.stop_canary(begun))
    canary = canary_changes.read_canary(stopped)
    assert canary is not None
    assert (canary.phase, canary.moving) == (Phase.STOPPED, True)
    assert canary_changes.stop_canary(stopped).writes == ()
    assert canary_changes.stop_canary(model).said == "No canary of digits runs."


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (model_changes.begin_challenger, "a challenger is another version"),
        (model_changes.begin_shadow, "a shadow is another version"),
    ],
)
def test_the_champion_is_not_given_a_share_beside_itself(begin: Callable[..., Change], said: str) -> None:
    for number in ("10", "latest"):
        assert said in refused(lambda number=number: begin(digits("2", "10", champion="10"), number, percent=10))  # type: ignore[misc]


def test_a_canary_waits_for_the_challenger_to_end() -> None:
    model = digits(champion="1", challenger="2")
    assert "is the challenger" in refused(lambda: canary_changes.begin_canary(model, "10", CanaryTerms(), now=0.0))


def test_a_tag_that_holds_no_canary_is_told() -> None:
    model = replace(digits(champion="1"), tags={CANARY_TAG: "soon"})
    assert "Delete the tag to start over" in refused(lambda: canary_changes.read_canary(model))


def test_a_change_survives_as_text() -> None:
    change = model_changes.promote(digits(champion="2"), "10")
    assert Change.from_text(change.to_text()) == Change.from_text(change.to_text().encode()) == change
