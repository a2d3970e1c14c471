"""A pipeline with its versions resolved for one image: what its queue entry carries, and the key of its results.

The text is canonical, and the key is its digest. So a promotion of any member changes the key, and results in the
cache, and computations that others join, are those of exactly these versions.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from shared.domain.errors import UnknownModel
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import Reference
from shared.domain.model_route import Choice
from shared.domain.pipeline import PIPELINE, Combination, Condition, Member, OnError, Pipeline, Step

_KEY_DIGITS: Final = 32
_VERSION_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMember:
    """One model of a step with its version; `missing` says why it has none, in a pipeline that may go without it."""

    model: ModelName
    version: VersionNumber
    key: VersionKey
    weight: float
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """The models that are asked about the same pictures."""

    members: tuple[PlannedMember, ...]
    combine: Combination


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedThen:
    """The second step, and when it is asked."""

    step: PlannedStep
    when: Condition
    crop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a worker does with one picture."""

    first: PlannedStep
    then: PlannedThen | None
    on_error: OnError

    @property
    def degrades(self) -> bool:
        """Whether a model without an output is left out of the answer."""
        return self.on_error is OnError.DEGRADE

    def members(self) -> Iterator[PlannedMember]:
        """Yield the members that have a version."""
        steps = (self.first, self.then.step) if self.then else (self.first,)
        return (one for one in chain.from_iterable(step.members for step in steps) if not one.missing)

    def write(self) -> str:
        """Return the canonical text, which `read_plan` reads."""
        return json.dumps(_members_json(self), sort_keys=True, separators=(",", ":"))


def choose_plan(pipeline: Pipeline, *, name: ModelName, choose: Callable[[Reference], Choice]) -> Choice:
    """Return what a pipeline resolves to for one image; `choose` resolves a member, `name` is what answers call it.

    The entry waits in the lane of the first step's first model that serves. A member that does not serve raises
    UnknownModel; where the pipeline degrades it is left out, unless no model of the first step is left.
    """

    def plan_step(step: Step) -> PlannedStep:
        members = tuple(_plan_member(member, choose, may_miss=degrades) for member in step.members)
        return PlannedStep(members=members, combine=step.combine)

    degrades = pipeline.on_error is OnError.DEGRADE
    first = plan_step(pipeline.first)
    lane = next((member.model for member in first.members if not member.missing), None)
    if lane is None:
        choose(pipeline.first.members[0].reference)  # raises, saying what serves
        raise UnknownModel(reference=name, reason=first.members[0].missing)
    then = None
    if pipeline.then is not None:
        then = PlannedThen(step=plan_step(pipeline.then.step), when=pipeline.then.when, crop=pipeline.then.crop)
    text = Plan(first=first, then=then, on_error=pipeline.on_error).write()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Choice(
        model=name,
        version=VersionNumber(digest[:_VERSION_DIGITS]),
        key=VersionKey(f"{PIPELINE}-{digest[:_KEY_DIGITS]}"),
        variant=PIPELINE,
        lane_model=lane,
        plan=text,
    )


def _plan_member(member: Member, choose: Callable[[Reference], Choice], *, may_miss: bool) -> PlannedMember:
    try:
        choice = choose(member.reference)
    except UnknownModel as error:
        if not may_miss:
            raise
        return PlannedMember(
            model=ModelName(str(member.reference)),
            version=VersionNumber(""),
            key=VersionKey(""),
            weight=member.weight,
            missing=error.reason or "no such model serves",
        )
    return PlannedMember(model=choice.model, version=choice.version, key=choice.key, weight=member.weight)


def _members_json(plan: Plan) -> dict[str, Any]:
    then = None
    if plan.then is not None:
        then = {**_step_json(plan.then.step), "when": plan.then.when.members_json(), "crop": plan.then.crop}
    return {"first": _step_json(plan.first), "then": then, "on_error": plan.on_error}


def _step_json(step: PlannedStep) -> dict[str, Any]:
    members = [
        [member.model, member.version, member.key, member.weight, *([member.missing] if member.missing else ())]
        for member in step.members
    ]
    return {"models": members, "combine": step.combine}


@lru_cache(maxsize=256)
def read_plan(text: str) -> Plan:
    """Return the plan of a canonical text; raises KeyError, TypeError or ValueError for another release's."""
    members = json.loads(text)
    then = members["then"]
    return Plan(
        first=_read_step(members["first"]),
        then=None
        if then is None
        else PlannedThen(step=_read_step(then), when=Condition.read(then["when"]), crop=then["crop"]),
        on_error=OnError(members["on_error"]),
    )


def _read_step(members: dict[str, Any]) -> PlannedStep:
    planned = (
        PlannedMember(model=model, version=version, key=key, weight=weight, missing=missing[0] if missing else "")
        for model, version, key, weight, *missing in members["models"]
    )
    return PlannedStep(members=tuple(planned), combine=Combination(members["combine"]))
