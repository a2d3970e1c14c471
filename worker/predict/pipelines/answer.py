"""The output of a pipeline, put together from what its versions answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.domain.pipeline import PIPELINE
from shared.domain.pipeline_plan import PlannedStep, PlannedThen
from shared.domain.prediction import ErrorCode
from worker.models.errors import ModelError
from worker.models.outputs.combined import MeanScores, Opinion, combine
from worker.predict.pipelines.asking import Answered, Question, Unanswered
from worker.predict.pipelines.condition import Selection


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a picture has no output; `members` has what each model of the step said, where they were asked."""

    code: ErrorCode
    error: str
    members: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """A step's output for a picture, and what stands in the pipeline's output about the step.

    `output` is None for a second step that was not asked about the whole picture. `degraded`: a model has no output.
    """

    output: Any
    members: dict[str, Any]
    degraded: bool


def first_step(step: PlannedStep, question: Question, *, degrades: bool) -> StepAnswer | Failed:
    """Return the answer of the first step, or why the picture has no output."""
    return _combined(step, question, degrades=degrades)


def second_step(
    then: PlannedThen, selections: Sequence[tuple[Selection, Question]], *, left_out: int, degrades: bool
) -> StepAnswer | Failed:
    """Return the answer of the second step, which was asked about these pictures; about none, if there are none."""
    results: list[dict[str, Any]] = []
    whole: Any = None
    degraded = False
    for selection, question in selections:
        answered = _combined(then.step, question, degrades=degrades)
        if isinstance(answered, Failed):
            if not degrades:
                return answered
            reason = {"error": answered.error, "error_code": answered.code}
            answered = StepAnswer(None, {**answered.members, **reason}, degraded=True)
        degraded = degraded or answered.degraded
        result = dict(answered.members)
        if selection.crop is None:
            whole = answered.output
        else:
            result = {"detection": selection.detection, "box": list(selection.crop), **result}
            if answered.output is not None:
                result["output"] = answered.output
        results.append(result)
    members = {"when": then.when.members_json(), "crop": then.crop, "results": results}
    if left_out:
        members["left_out"] = left_out
    return StepAnswer(whole, members, degraded)


def whole_output(output: dict[str, Any], members: dict[str, Any], *, degraded: bool) -> dict[str, Any]:
    """Return the pipeline's output: the last step's, or the first's where no other was asked about the whole picture.

    Its member `pipeline` has the steps.
    """
    steps = members.get("steps", [members])
    return {**output, PIPELINE: {"steps": steps, "degraded": degraded}}


def _combined(step: PlannedStep, question: Question, *, degrades: bool) -> StepAnswer | Failed:
    """Return one output of a step's versions for one picture, and what each of them answered."""
    several = len(step.members) > 1
    said: list[dict[str, Any]] = []
    opinions: list[Opinion] = []
    versions: list[Answered] = []
    failures: list[Failed] = []
    for place, planned in enumerate(step.members):
        answer = question.answers[place]
        one: dict[str, Any] = {"model": planned.model, "version": planned.version}
        if several:
            one["weight"] = planned.weight
        if isinstance(answer, Unanswered):
            failures.append(Failed(answer.code, f"{planned.model}: {answer.error}"))
            one |= {"error": answer.error, "error_code": answer.code}
        else:
            output = orjson.loads(answer.output)
            if several:
                one["output"] = output
            versions.append(answer)
            names = answer.member.names
            opinions.append(Opinion(output=output, weight=planned.weight, names=names, scores=answer.scores))
        said.append(one)
    members: dict[str, Any] = {"models": said}
    if failures and (not degrades or not opinions):
        return replace(failures[0], members=members)
    if len(opinions) == 1:
        return StepAnswer(dict(opinions[0].output), members, bool(failures))
    try:
        combined, how = combine(opinions, step.combine)
        output = _written(combined, versions[0])
    except ModelError as error:
        return Failed(ErrorCode.MODEL_ERROR, str(error), members)
    return StepAnswer(output, {**members, "combined_by": how}, bool(failures))


def _written(combined: MeanScores | dict[str, Any], first: Answered) -> dict[str, Any]:
    if not isinstance(combined, MeanScores):
        return combined
    (written,) = first.member.write_scores(combined.scores[None, :])
    if not isinstance(written, bytes):
        raise written
    output: dict[str, Any] = orjson.loads(written)
    return output
