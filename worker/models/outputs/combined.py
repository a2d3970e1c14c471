"""Combines what several models answer for one picture: the weighted mean of their scores, or the majority of votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from shared.domain.output_form import are_numbers, task_of_output
from shared.domain.pipeline import Combination
from shared.domain.task import Task
from worker.models.errors import ModelError
from worker.models.outputs.writer import DIGITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.floating[Any]]

HALF: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """One model's answer for a picture: its output, and one score a class where its task has those (None elsewhere).

    `names` are the classes of the scores, all different.
    """

    output: Mapping[str, Any]
    weight: float
    names: tuple[str, ...] = ()
    scores: "Scores | None" = None


@dataclass(frozen=True, slots=True)
class MeanScores:
    """Scores in the order of the first model's classes, still to be written as its outputs are."""

    scores: "Scores"


def combine(opinions: Sequence[Opinion], how: Combination) -> tuple[MeanScores | dict[str, Any], Combination]:
    """Return the scores or the output of at least two opinions, and whether it is their mean or their majority.

    Raises ModelError for outputs that can't be combined: of different tasks, of tasks without classes and numbers, or
    of different classes where `how` is the mean.
    """
    tasks = {task_of_output(opinion.output) for opinion in opinions}
    if len(tasks) > 1:
        raise ModelError(f"outputs of different tasks can't be combined: {', '.join(sorted(tasks))}")
    (task,) = tasks
    if task is Task.REGRESSION:
        return _mean_values(opinions, how), Combination.MEAN
    if task not in (Task.CLASSIFICATION, Task.MULTILABEL):
        raise ModelError(f"outputs of the task {task} can't be combined")
    if how is not Combination.MAJORITY:
        scores = _mean_scores(opinions)
        if scores is not None:
            return MeanScores(scores), Combination.MEAN
        if how is Combination.MEAN:
            raise ModelError("the models' classes are not the same, so their scores have no mean")
    vote = _vote_for_one if task is Task.CLASSIFICATION else _vote_for_several
    return vote(opinions), Combination.MAJORITY


def _mean_scores(opinions: Sequence[Opinion]) -> "Scores | None":
    """Return the weighted mean of the scores, class by class; None where the classes are not the same."""
    first = opinions[0]
    total = np.zeros(len(first.names), np.float64)
    for opinion in opinions:
        if opinion.scores is None or len(opinion.names) != len(first.names):
            return None
        if opinion.names == first.names:
            total += opinion.weight * np.asarray(opinion.scores, np.float64)
            continue
        places = {name: place for place, name in enumerate(opinion.names)}
        if places.keys() != set(first.names):
            return None
        total += opinion.weight * np.asarray(opinion.scores, np.float64)[[places[name] for name in first.names]]
    return total / sum(opinion.weight for opinion in opinions)


def _mean_values(opinions: Sequence[Opinion], how: Combination) -> dict[str, Any]:
    first = opinions[0].output
    if how is Combination.MAJORITY:
        raise ModelError("numbers have no majority: combine them by their mean")
    names = first["values"].keys()
    values = [opinion.output["values"] for opinion in opinions]
    if any(one.keys() != names or not are_numbers(one) for one in values):
        raise ModelError("the models' values have different names")
    whole = sum(opinion.weight for opinion in opinions)
    mean = {
        name: round(sum(o.weight * one[name] for o, one in zip(opinions, values, strict=True)) / whole, DIGITS)
        for name in names
    }
    return {**first, "values": mean}


def _vote_for_one(opinions: Sequence[Opinion]) -> dict[str, Any]:
    """Return the class with the most weight; of equal ones that of the higher confidence, then that named first."""
    whole = sum(opinion.weight for opinion in opinions)
    votes: dict[str, list[float]] = {}
    for opinion in opinions:
        vote = votes.setdefault(opinion.output["predicted_class"], [0.0, 0.0])
        vote[0] += opinion.weight
        vote[1] += opinion.weight * float(opinion.output.get("confidence") or 0)
    order = sorted(votes, key=lambda name: (-votes[name][0], -votes[name][1]))
    shares = {name: round(votes[name][0] / whole, DIGITS) for name in order}
    winner = next(one.output for one in opinions if one.output["predicted_class"] == order[0])
    return {
        "predicted_class": order[0],
        "predicted_index": winner.get("predicted_index"),
        "confidence": shares[order[0]],
        "probabilities": shares,
    }


def _vote_for_several(opinions: Sequence[Opinion]) -> dict[str, Any]:
    """Return the classes that more than half of the weight names."""
    whole = sum(opinion.weight for opinion in opinions)
    votes: dict[str, float] = {}
    for opinion in opinions:
        for name in opinion.output["predicted_classes"]:
            votes[name] = votes.get(name, 0.0) + opinion.weight
    shares = {name: round(votes[name] / whole, DIGITS) for name in sorted(votes, key=lambda name: -votes[name])}
    return {"predicted_classes": [name for name, share in shares.items() if share > HALF], "scores": shares}
