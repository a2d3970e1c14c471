"""The values of a version's metadata: where each stands, and the checks that it has to pass.

A value stands in a tag of the version in the registry (`darkroom.<key>`), else in the metadata in `MLmodel`, else in
what the flavour knows of itself. A tag's value is JSON, or plain text where that is no JSON.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from shared.domain.image import ImageSpec
from worker.models.errors import ModelError

TAG_PREFIX: Final = "darkroom."
"""Before the names of the tags that override the metadata: `darkroom.decode`, `darkroom.precision`."""
LONGEST_REASON: Final = 500
"""Characters of what is wrong with a value, which may be part of it."""
_NEAR: Final = 0.8
"""How alike an unknown key and one of ours are, from 0 to 1, to be taken for a misspelling."""

_NAME_AND_UNIT: Final = 2
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""Postgres stores no NUL, and UTF-8 has no half of a pair: an output with either would be lost."""

Choice = TypeVar("Choice", bound=StrEnum)


class Place(NamedTuple):
    """A value, and where it stands, as errors say it."""

    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the metadata. `parse` returns its value; raises ValueError with what follows the key's place."""

    parse: Callable[[Any], Any]
    is_word: bool = False
    """Whether a tag's value is always plain text, never JSON."""


class MetadataValues:
    """A version's values by key, from its tags, its metadata and its defaults, in that order."""

    def __init__(
        self,
        keys: Mapping[str, Key],
        metadata: Mapping[str, Any],
        tags: Mapping[str, str],
        defaults: Mapping[str, Any],
    ) -> None:
        self._keys = keys
        self._metadata = metadata
        self._tags = {name.removeprefix(TAG_PREFIX): text for name, text in tags.items() if name.startswith(TAG_PREFIX)}
        self._defaults = defaults

    def get(self, key: str) -> Any:
        """Return a key's value, None where it stands nowhere; raises ModelError naming its place for a wrong one."""
        place = self.place(key)
        if place is None:
            return None
        try:
            return self._keys[key].parse(place.value)
        except ValueError as error:
            raise ModelError(f"{place.where}{error!s:.{LONGEST_REASON}}") from None

    def place(self, key: str) -> Place | None:
        """Return the value that counts for a key and where it stands; None where it stands nowhere."""
        candidates = (
            Place(f"the tag {TAG_PREFIX}{key}", self._in_tag(key)),
            Place(f"the metadata's {key}", self._metadata.get(key)),
            Place(f"the model's own {key}", self._defaults.get(key)),
        )
        return next((place for place in candidates if place.value is not None), None)

    def refuse_misspelled(self, *, other_tags: Iterable[str]) -> None:
        """Raise ModelError for a key that is none of ours, nor one of `other_tags`, but is spelled much like one."""
        for where, names in (("the metadata has", self._metadata), ("there is a tag", self._tags)):
            prefix = TAG_PREFIX if names is self._tags else ""
            for name in sorted(map(str, names)):
                meant = None if name in other_tags else misspelled(name, self._keys)
                if meant is not None:
                    raise ModelError(f"{where} {prefix + name!r}: did you mean {prefix + meant!r}?")

    def unknown_tags(self, *, other_tags: Iterable[str]) -> list[str]:
        """Return the names of the tags that begin with `darkroom.` and that nothing reads."""
        return [TAG_PREFIX + name for name in sorted(self._tags.keys() - self._keys.keys() - set(other_tags))]

    def given(self, key: str) -> Place | None:
        """Return where a key stands, as `place`, leaving out what the model knows of itself."""
        place = self.place(key)
        return place if key in self._tags or self._metadata.get(key) is not None else None

    def _in_tag(self, key: str) -> Any:
        text = self._tags.get(key)
        if text is None or self._keys[key].is_word:
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # nested too deep
            return text


def misspelled(name: str, keys: Iterable[str]) -> str | None:
    """Return the key that is meant by a name which is none of them but much like one."""
    known = set(keys)
    if name in known:
        return None
    plain = name.removeprefix(TAG_PREFIX).lower().replace("-", "_")
    return plain if plain in known else next(iter(get_close_matches(plain, sorted(known), n=1, cutoff=_NEAR)), None)


def choice_of(kind: type[Choice]) -> Callable[[Any], Choice]:
    """Return a check for one of an enumeration's words."""
    allowed = tuple(kind)

    def parse(value: Any) -> Choice:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f" must be {one_of(allowed)}, not {value!r:.100}")
        return kind(value)

    return parse


def one_of(words: Iterable[str]) -> str:
    """Return words as a list in a sentence: `a, b or c`."""
    *all_but_last, last = words
    return f"{', '.join(all_but_last)} or {last}" if all_but_last else last


def whole_number(*, highest: int | None = None) -> Callable[[Any], int]:
    """Return a check for a whole number from 1 on."""

    def parse(value: Any) -> int:
        if type(value) is not int or value < 1 or (highest is not None and value > highest):
            most = f" up to {highest:,}" if highest is not None else ""
            raise ValueError(f" must be a positive whole number{most}, not {value!r:.100}")
        return value

    return parse


def fraction(value: Any) -> float:
    """Check a number from 0 to 1."""
    if type(value) not in (int, float) or not 0 <= value <= 1 or not math.isfinite(value):
        raise ValueError(f" must be a number from 0 to 1, not {value!r:.100}")
    return float(value)


def truth(value: Any) -> bool:
    """Check true or false."""
    if not isinstance(value, bool):
        raise ValueError(f" must be true or false, not {value!r:.100}")  # noqa: TRY004  the caller adds the place
    return value


def image_spec(value: Any) -> ImageSpec:
    """Check what becomes of an image before the model gets it."""
    if not isinstance(value, Mapping):
        raise ValueError(f" must be a mapping such as {{'crop_size': 224}}, not {value!r:.100}")  # noqa: TRY004
    try:
        return ImageSpec.from_metadata(dict(value))
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f": {error}") from None


def label_list(value: Any) -> tuple[str, ...]:
    """Check a list of labels, which are turned into text."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f" must be a list of at least one label, not {value!r:.100}")
    labels = tuple(str(label) for label in value)
    for label in labels:
        if _UNSTORABLE.search(label):
            raise ValueError(
                f" must have no NUL and no half of a surrogate pair, which nothing can store: {label!r:.100}"
            )
    return labels


def named_values(value: Any) -> dict[str, str | None]:
    """Check a regression's names; return each name's unit, or None, in the order of the model's values.

    One name, or a list whose items are names or pairs of a name and its unit; or a mapping of one name to its unit, but
    not of several: MLflow writes a mapping in the order of its names.
    """
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping):
        if len(value) > 1:
            in_order = [[name, unit] for name, unit in value.items()]
            raise ValueError(f" must be a list, for the order of a mapping is not kept: {in_order!r:.200}")
        value = [*value.items()]
    pairs = (
        [(item, None) if isinstance(item, str) else item for item in value] if isinstance(value, list | tuple) else []
    )
    good = pairs and all(
        isinstance(pair, list | tuple)
        and len(pair) == _NAME_AND_UNIT
        and isinstance(pair[0], str)
        and isinstance(pair[1], str | None)
        for pair in pairs
    )
    if not good or len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(f" must be a list of different names, or of pairs of a name and its unit, not {value!r:.100}")
    return {name: unit or None for name, unit in pairs}


@dataclass(frozen=True, slots=True)
class Heads:
    """Which of a model's several outputs count: keys or indices, by the names under which they are used.

    One that is named alone has the name "".
    """

    by_name: Mapping[str, str | int]

    @property
    def only(self) -> str | int | None:
        """Return the one head; None where several are named."""
        return self.by_name.get("")


def heads(value: Any) -> Heads:
    """Check `output`: a key, an index, or a list of those, or a mapping of names to those."""
    if _is_head(value):
        return Heads(MappingProxyType({"": value}))
    if (
        isinstance(value, list | tuple)
        and value
        and all(map(_is_head, value))
        and len(set(map(str, value))) == len(value)
    ):
        return Heads(MappingProxyType({str(head): head for head in value}))
    if isinstance(value, Mapping) and value and all(map(_is_head, value.values())) and "" not in value:
        return Heads(MappingProxyType({str(name): head for name, head in value.items()}))
    raise ValueError(f" must be a key, an index, or a list or mapping of those, not {value!r:.100}")


def _is_head(value: Any) -> bool:
    return (isinstance(value, str) and bool(value)) or (type(value) is int and value >= 0)
