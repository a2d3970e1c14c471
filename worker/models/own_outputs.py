"""Tells of a model whose output for an image is not that image's alone: it depends on its neighbours, or on chance."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

CLOSE: Final = 0.02
"""By so much numbers may differ, times the largest where that is above 1: half precision computes no closer."""
_TIES: Final = frozenset({"predicted_index", "box"})
"""Members that change as a whole where two scores are all but equal."""
BY_CHANCE: Final = "the same photograph has another output each time: is it random, or does it keep state?"
BY_NEIGHBOURS: Final = (
    "a photograph has another output among others than alone: the model must compute each row of its input by itself, "
    "and keep their order, or people get the answers to others' images"
)


def find_fault(predict: Callable[[object], bytes], images: Sequence[object], together: Sequence[bytes]) -> str:
    """Return what is wrong, an empty text for nothing.

    `predict` computes one image; `together` are the images' outputs of one micro-batch.
    """
    for image, among_others in zip(images, together, strict=True):
        alone = predict(image)
        if not is_alike(alone, predict(image)):
            return BY_CHANCE
        if not is_alike(alone, among_others):
            return BY_NEIGHBOURS
    return ""


def is_alike(one: bytes, other: bytes) -> bool:
    """Tell whether two outputs say the same, up to what rounding does to their numbers."""
    first, second = dict(_numbers(orjson.loads(one))), dict(_numbers(orjson.loads(other)))
    both = first.keys() & second.keys()
    if not both:
        return not first and not second
    largest = max(1.0, *(abs(first[name]) for name in both))
    return all(abs(first[name] - second[name]) <= CLOSE * largest for name in both)


def _numbers(value: Any, name: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], float]]:
    """Give every number in a JSON value, with where it stands."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in _TIES:
                yield from _numbers(member, (*name, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _numbers(member, (*name, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)
