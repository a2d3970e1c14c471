"""Plans: a pipeline's resolved versions, the key that is their digest, the lane, members that do not serve."""

import pytest

from shared.domain.errors import UnknownModel
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import Reference
from shared.domain.model_route import Choice
from shared.domain.pipeline import parse_pipeline
from shared.domain.pipeline_plan import choose_plan, read_plan

NAME = ModelName("p")
CHAIN = {"models": ["a", "b"], "then": {"model": "c", "when": {"class": ["dog"]}, "crop": True}}


def serving(**numbers: str):  # noqa: ANN201  the function that resolves a reference
    def choose(reference: Reference) -> Choice:
        name = str(reference.name)
        if name not in numbers:
            raise UnknownModel(reference=name, reason="it is retired")
        number = numbers[name]
        return Choice(
            model=ModelName(name), version=VersionNumber(number), key=VersionKey(f"{number}-x"), variant="champion"
        )

    return choose


def test_a_plan_is_read_as_it_was_written() -> None:
    choice = choose_plan(parse_pipeline(CHAIN), name=NAME, choose=serving(a="1", b="2", c="3"))
    plan = read_plan(choice.plan)
    assert [(one.model, one.key) for one in plan.members()] == [("a", "1-x"), ("b", "2-x"), ("c", "3-x")]
    assert plan.write() == choice.plan
    assert (choice.model, choice.lane_owner, choice.variant) == ("p", "a", "pipeline")
    assert choice.entry_version == f"{choice.key} {choice.plan}"
    assert " " not in choice.key
    assert choice.key.startswith(f"pipeline-{choice.version}")


def test_a_promotion_of_any_member_changes_the_key() -> None:
    pipeline = parse_pipeline(CHAIN)
    keys = {
        choose_plan(pipeline, name=NAME, choose=serving(a=a, b=b, c=c)).key
        for a, b, c in [("1", "2", "3"), ("9", "2", "3"), ("1", "9", "3"), ("1", "2", "9")]
    }
    assert len(keys) == 4


def test_the_name_is_no_part_of_the_key_and_the_definition_is() -> None:
    choose = serving(a="1", b="2", c="3")
    first = choose_plan(parse_pipeline(CHAIN), name=NAME, choose=choose)
    assert choose_plan(parse_pipeline(CHAIN), name=ModelName("q"), choose=choose).key == first.key
    assert choose_plan(parse_pipeline({**CHAIN, "weights": [2, 1]}), name=NAME, choose=choose).key != first.key
    assert choose_plan(parse_pipeline({**CHAIN, "on_error": "degrade"}), name=NAME, choose=choose).key != first.key


def test_a_member_that_does_not_serve_is_refused_or_left_out() -> None:
    with pytest.raises(UnknownModel, match="retired"):
        choose_plan(parse_pipeline(CHAIN), name=NAME, choose=serving(a="1", b="2"))
    choice = choose_plan(parse_pipeline({**CHAIN, "on_error": "degrade"}), name=NAME, choose=serving(b="2"))
    assert choice.lane_owner == "b"
    assert [one.missing for one in read_plan(choice.plan).first.members] == ["it is retired", ""]
    with pytest.raises(UnknownModel):
        choose_plan(parse_pipeline({**CHAIN, "on_error": "degrade"}), name=NAME, choose=serving(c="3"))
