"""Reads answers from JSON bodies and CSV lines, and checks that they fit what the model predicted."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from api.uploads.small_objects import refuse_unknown_members
from shared.domain.errors import InvalidParameter
from shared.domain.feedback import LARGEST_VALUE, LONGEST_BY, LONGEST_COMMENT, LONGEST_LABEL, MOST_BOXES, Answer
from shared.domain.output_form import task_of_output
from shared.domain.task import Task
from shared.domain.written_numbers import is_number

ANSWERS: Final = ("label", "value", "boxes")
_NAMES: Final = (*ANSWERS, "comment", "by")
_CORNERS: Final = 4
_FARTHEST: Final = 1e9
_DEEPEST: Final = 20
_TAKES: Final[Mapping[Task, Collection[str]]] = {
    Task.CLASSIFICATION: ("label",),
    Task.MULTILABEL: ("value",),
    Task.REGRESSION: ("value",),
    Task.DETECTION: ("boxes",),
    Task.SEGMENTATION: ("label", "value", "boxes"),
    Task.EMBEDDING: ("label", "value"),
    Task.JSON: ANSWERS,
}
"""Which answers fit which task; of these exactly one is given."""


def read_answer(members: Mapping[str, Any]) -> Answer:
    """Return the answer in a JSON object; a member that is null is not given. Raises InvalidParameter."""
    refuse_unknown_members(members, _NAMES)
    given = [name for name in ANSWERS if members.get(name) is not None]
    if len(given) != 1:
        found = f"not {' and '.join(given)}" if given else "none is there"
        raise InvalidParameter(detail=f"exactly one of label, value and boxes is needed, {found}", pointer="/label")
    return Answer(
        label=_text(members, "label", LONGEST_LABEL),
        value=_value(members.get("value")),
        boxes=_boxes(members.get("boxes")),
        comment=_text(members, "comment", LONGEST_COMMENT),
        by=_text(members, "by", LONGEST_BY),
    )


def check_fit(answer: Answer, output: Any) -> None:
    """Raise InvalidParameter where an answer can't be one to this output; without an output every answer fits."""
    if output is None:
        return
    task = task_of_output(output)
    [given] = [name for name in ANSWERS if getattr(answer, name) is not None]
    if given not in _TAKES[task]:
        raise InvalidParameter(
            detail=f"feedback on a {task} is given as {' or '.join(_TAKES[task])}", pointer=f"/{given}"
        )
    if task is Task.REGRESSION:
        _check_numbers(answer.value, output["values"])
    elif task is Task.MULTILABEL and not _are_texts(answer.value):
        raise InvalidParameter(
            detail='the value of a multilabel is the list of its classes, such as ["cat", "dog"]', pointer="/value"
        )


def named_classes(answer: Answer) -> list[str]:
    """Return the classes that an answer names."""
    if answer.label is not None:
        return [answer.label]
    if answer.boxes is not None:
        return [box["label"] for box in answer.boxes]
    return list(answer.value) if _are_texts(answer.value) else []


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and 0 < len(one) <= LONGEST_LABEL for one in value)


def _text(members: Mapping[str, Any], name: str, longest: int) -> str | None:
    text = members.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not 0 < len(text) <= longest:
        raise InvalidParameter(detail=f"{name} must be a text of 1 to {longest:,} characters", pointer=f"/{name}")
    return _storable(text, f"/{name}")


def _storable(text: str, pointer: str) -> str:
    """Return the text; Postgres stores no NUL, and UTF-8 has no lone surrogate."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)):
        raise InvalidParameter(detail="the text holds a character that can't be stored", pointer=pointer)
    return text


def _value(value: Any) -> Any:
    if value is None:
        return None
    try:
        written = orjson.dumps(value)
    except (TypeError, RecursionError):
        raise InvalidParameter(detail="value can't be written as JSON", pointer="/value") from None
    if len(written) > LARGEST_VALUE:
        raise InvalidParameter(detail=f"value has over {LARGEST_VALUE:,} bytes as JSON", pointer="/value")
    if b"\\u0000" in written:
        raise InvalidParameter(detail="value holds a character that can't be stored", pointer="/value")
    if _depth(value) > _DEEPEST:
        raise InvalidParameter(detail=f"value is nested over {_DEEPEST} levels deep", pointer="/value")
    return value


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        depth += 1
        holding = [one for one in level if isinstance(one, list | dict)]
        level = [inner for one in holding for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _boxes(boxes: Any) -> list[dict[str, Any]] | None:
    if boxes is None:
        return None
    if not isinstance(boxes, list) or len(boxes) > MOST_BOXES:
        raise InvalidParameter(
            detail=f'boxes must be a list of at most {MOST_BOXES:,} {{"label": …, "box": [x1, y1, x2, y2]}}',
            pointer="/boxes",
        )
    return [_box(one, f"/boxes/{number}") for number, one in enumerate(boxes)]


def _box(one: Any, pointer: str) -> dict[str, Any]:
    if not isinstance(one, dict) or one.keys() != {"label", "box"}:
        raise InvalidParameter(detail='a box is {"label": …, "box": [x1, y1, x2, y2]}', pointer=pointer)
    label, box = _text(one, "label", LONGEST_LABEL), one["box"]
    numbers = (
        isinstance(box, list)
        and len(box) == _CORNERS
        and all(is_number(side) and abs(side) < _FARTHEST for side in box)
    )
    if label is None or not numbers or not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
        raise InvalidParameter(
            detail="a box has a label and four numbers of pixels, 0 ≤ x1 < x2 and 0 ≤ y1 < y2", pointer=f"{pointer}/box"
        )
    return {"label": label, "box": [float(side) for side in box]}


def _check_numbers(value: Any, predicted: Mapping[str, float]) -> None:
    """Raise InvalidParameter unless a value has numbers under names that the model predicts, or is its only one."""
    if type(value) in (int, float) and len(predicted) == 1:
        return
    named = isinstance(value, dict) and value and value.keys() <= predicted.keys()
    if not named or not all(type(number) in (int, float) for number in value.values()):
        names = ", ".join(list(predicted)[:10])
        raise InvalidParameter(
            detail=f"the value is an object with a number for each of {names}, or some of them", pointer="/value"
        )
