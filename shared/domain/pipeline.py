"""Pipelines: one picture to several models, as an ensemble, as a chain of two steps, or as both; parsed here.

An ensemble asks several models and combines their outputs. A chain asks a first step, and where its condition (`when`)
is met a second one (`then`): about the whole picture, or about the crop of each box that a detector found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Final, Self, TypeVar

from shared.domain.errors import InvalidParameter
from shared.domain.model_reference import Reference
from shared.domain.written_numbers import is_number

PIPELINE: Final = "pipeline"
"""The `variant` of a prediction that a pipeline made, and the member of its output that has each step's."""
PIPELINE_FIELDS: Final = ("models", "combine", "weights", "then", "on_error")
"""The members of a definition, and the fields of a submission that define one."""
MOST_MEMBERS: Final = 8
"""Models of both steps together."""
MOST_CROPS: Final = 32
"""Crops of one picture that go on to the second step: those of the highest scores."""
MOST_CLASSES: Final = 1000
LONGEST_CLASS: Final = 255
LONGEST_REFERENCE: Final = 255
LARGEST_WEIGHT: Final = 1e6
_THEN_FIELDS: Final = ("model", "models", "combine", "weights", "when", "crop")
_WHEN_FIELDS: Final = ("class", "min_confidence")


class Combination(StrEnum):
    """How the outputs of an ensemble become one."""

    AUTO = "auto"
    """Mean where the classes match, else majority."""
    MEAN = "mean"
    """Weighted mean of the scores; fails where the classes don't match."""
    MAJORITY = "majority"
    """The class with the most weight of votes."""


class OnError(StrEnum):
    """What becomes of a prediction one of whose models has no output."""

    FAIL = "fail"
    """It fails."""
    DEGRADE = "degrade"
    """It has the output of the others, which says what is missing."""


_Word = TypeVar("_Word", Combination, OnError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of a step; `weight` counts among the models of its step."""

    reference: Reference
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The models that are asked about the same pictures, at least one."""

    members: tuple[Member, ...]
    combine: Combination = Combination.AUTO

    def members_json(self) -> dict[str, Any]:
        """Return the step's members of a definition."""
        found: dict[str, Any] = {"models": [str(member.reference) for member in self.members]}
        if len(self.members) > 1:
            found |= {"combine": str(self.combine), "weights": [member.weight for member in self.members]}
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When the second step is asked; of a detector it is about each box. None: it does not matter."""

    classes: tuple[str, ...] | None = None
    min_confidence: float | None = None

    def members_json(self) -> dict[str, Any]:
        """Return the condition's members of a definition; those that do not matter are left out."""
        found: dict[str, Any] = {}
        if self.classes is not None:
            found["class"] = list(self.classes)
        if self.min_confidence is not None:
            found["min_confidence"] = self.min_confidence
        return found

    def admits(self, name: str, score: float | None) -> bool:
        """Tell whether a class with this score, None where it has none, meets the condition."""
        if self.classes is not None and name not in self.classes:
            return False
        return self.min_confidence is None or (score is not None and score >= self.min_confidence)

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        """Return the condition of `members_json`."""
        classes = members.get("class")
        return cls(classes=None if classes is None else tuple(classes), min_confidence=members.get("min_confidence"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """The second step of a chain. `crop`: it gets the crop of each box that meets the condition, not the picture."""

    step: Step
    when: Condition = Condition()
    crop: bool = False

    def members_json(self) -> dict[str, Any]:
        """Return the object that stands under `then` in a definition."""
        return {**self.step.members_json(), "when": self.when.members_json(), "crop": self.crop}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline as it was asked for: its models are references, whose versions may change."""

    first: Step
    then: Then | None = None
    on_error: OnError = OnError.FAIL

    def references(self) -> Iterator[Reference]:
        """Yield each member's reference, those of the first step first."""
        steps = (self.first, self.then.step) if self.then else (self.first,)
        return (member.reference for member in chain.from_iterable(step.members for step in steps))

    def definition(self) -> dict[str, Any]:
        """Return the definition with every default written out, as a JSON object; `parse_pipeline` reads it again."""
        then = self.then.members_json() if self.then else None
        return {**self.first.members_json(), "then": then, "on_error": str(self.on_error)}

    def expression(self) -> str:
        """Return what the pipeline is called where it has no name: `a+b`, `detector>breeds`."""
        first = "+".join(str(member.reference) for member in self.first.members)
        if self.then is None:
            return first
        return f"{first}>{'+'.join(str(member.reference) for member in self.then.step.members)}"


def parse_pipeline(definition: Mapping[str, Any], *, first: Reference | None = None) -> Pipeline:
    """Return the pipeline of a definition, a JSON object; `first` is the model of the first step without `models`.

    Raises InvalidParameter for unknown members, wrong types, no model, too many, or a chain of more than two steps.
    """
    _check_names(definition, PIPELINE_FIELDS, "")
    if definition.get("models") is not None and first is not None and first != Reference(name=None):
        raise _invalid("give model or models, not both", "/models")
    step = _step(definition, "", only=first)
    then = definition.get("then")
    pipeline = Pipeline(
        first=step,
        then=None if then is None else _then(then),
        on_error=_word(OnError, definition.get("on_error"), OnError.FAIL, "/on_error"),
    )
    members = sum(1 for _ in pipeline.references())
    if members > MOST_MEMBERS:
        raise _invalid(f"{members} models are named, at most {MOST_MEMBERS} may be", "/models")
    return pipeline


def parse_named_pipeline(name: str, definition: object) -> Pipeline:
    """Return the pipeline that a name stands for; raises InvalidParameter for its name or its definition."""
    if not name or any(mark in name for mark in "/@:"):
        raise InvalidParameter(detail="its name may have no /, @ or :", pointer="")
    if not isinstance(definition, dict):
        raise InvalidParameter(detail="it is no JSON object", pointer="")
    return parse_pipeline(definition)


def _then(given: object) -> Then:
    if not isinstance(given, Mapping):
        raise _invalid("then must be an object with a model", "/then")
    if given.get("then") is not None:
        raise _invalid("a chain has two steps: then can't have a then", "/then/then")
    _check_names(given, (*_THEN_FIELDS, "then"), "/then")
    model = given.get("model")
    if model is not None and given.get("models") is not None:
        raise _invalid("give model or models, not both", "/then/models")
    only = None if model is None else _reference(model, "/then/model")
    crop = given.get("crop")
    if crop is not None and not isinstance(crop, bool):
        raise _invalid("crop must be true or false", "/then/crop")
    return Then(step=_step(given, "/then", only=only), when=_condition(given.get("when")), crop=bool(crop))


def _condition(given: object) -> Condition:
    if given is None:
        return Condition()
    if not isinstance(given, Mapping):
        raise _invalid("when must be an object with class or min_confidence", "/then/when")
    _check_names(given, _WHEN_FIELDS, "/then/when")
    classes = given.get("class")
    if isinstance(classes, str):
        classes = [classes]
    if classes is not None:
        if not isinstance(classes, list) or not 0 < len(classes) <= MOST_CLASSES or not all(map(_is_class, classes)):
            raise _invalid("class must be a class, or a list of up to 1,000 of them", "/then/when/class")
        # The order says nothing: one definition, one digest.
        classes = tuple(sorted(set(classes)))
    confidence = given.get("min_confidence")
    if confidence is not None and not (is_number(confidence) and 0 <= confidence <= 1):
        raise _invalid("min_confidence must be a number from 0 to 1", "/then/when/min_confidence")
    return Condition(classes=classes, min_confidence=None if confidence is None else float(confidence))


def _step(given: Mapping[str, Any], pointer: str, *, only: Reference | None) -> Step:
    models = given.get("models")
    if models is None:
        if only is None or only.name is None:
            raise _invalid(f"{pointer.lstrip('/') or 'it'} names no model", f"{pointer}/models")
        references = [only]
    else:
        if not isinstance(models, list) or not models:
            raise _invalid("models must be a list of models", f"{pointer}/models")
        if len(models) > MOST_MEMBERS:
            raise _invalid(f"{len(models)} models are named, at most {MOST_MEMBERS} may be", f"{pointer}/models")
        references = [_reference(model, f"{pointer}/models/{place}") for place, model in enumerate(models)]
    named = [str(reference) for reference in references]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise _invalid(f"{twice} is named twice", f"{pointer}/models")
    weights = _weights(given.get("weights"), len(references), f"{pointer}/weights")
    members = tuple(Member(reference=one, weight=weight) for one, weight in zip(references, weights, strict=True))
    return Step(
        members=members, combine=_word(Combination, given.get("combine"), Combination.AUTO, f"{pointer}/combine")
    )


def _weights(given: object, count: int, pointer: str) -> list[float]:
    if given is None:
        return [1.0] * count
    if not isinstance(given, list) or len(given) != count or not all(map(_is_weight, given)):
        numbers = "a list of one number above 0" if count == 1 else f"{count} numbers above 0, one for each model"
        raise _invalid(f"weights must be {numbers}", pointer)
    return [float(weight) for weight in given]


def _reference(given: object, pointer: str) -> Reference:
    if not isinstance(given, str) or not given or len(given) > LONGEST_REFERENCE or "\0" in given:
        raise _invalid("a model is named by a text: name, name@alias or name:version", pointer)
    try:
        return Reference.parse_model(given)
    except InvalidParameter as error:
        raise _invalid(error.detail, pointer) from None


def _word(kind: type[_Word], given: object, usual: _Word, pointer: str) -> _Word:
    if given is None:
        return usual
    for word in kind:
        if given == word:
            return word
    raise _invalid(f"{pointer.rpartition('/')[2]} must be one of {', '.join(kind)}", pointer)


def _check_names(given: Mapping[str, Any], known: tuple[str, ...], pointer: str) -> None:
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        where = pointer.rpartition("/")[2] or "a pipeline"
        raise _invalid(f"{where} has no {unknown[0][:80]!r}; it has {', '.join(known)}", pointer or "/models")


def _is_class(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_CLASS and "\0" not in value


def _is_weight(value: object) -> bool:
    return is_number(value) and 0 < value <= LARGEST_WEIGHT


def _invalid(detail: str, pointer: str) -> InvalidParameter:
    return InvalidParameter(detail=detail, pointer=pointer)
