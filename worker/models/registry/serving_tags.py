"""Registry tags that say how a model is served: shares of aliases, when a champion goes back, micro-batches.

`darkroom.max_batch_size`, `darkroom.max_wait`, `darkroom.beside_people` and `darkroom.timeout` stand on the registered
model or on the version that is champion; the version's count more. They change what the settings say for this model,
and take effect with the next poll of the registry. A wrong value changes nothing: the route says what is wrong. So it
is with `darkroom.pipeline.<name>`, which defines a pipeline.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import ModelName
from shared.domain.keep_rule import KEEP_IMAGES, NONE_KEPT, KeepRule, parse_keep_rule
from shared.domain.model_route import CHALLENGER_PERCENT, SHADOW_PERCENT
from shared.domain.pipeline import Pipeline, parse_named_pipeline
from shared.domain.written_numbers import whole_number
from worker.models.metadata.metadata_values import TAG_PREFIX

MAX_ERROR_PERCENT: Final = f"{TAG_PREFIX}max_error_percent"
DEFAULT_MAX_ERROR_PERCENT: Final = 50
PIPELINE_TAG: Final = f"{TAG_PREFIX}pipeline."
MOST_IMAGES: Final = 4096
LONGEST_WAIT: Final = timedelta(seconds=10)
LONGEST_SHOWN: Final = 40
"""Characters of a wrong value: MLflow takes tags of thousands, and every route would carry them."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How one model's micro-batches are formed, and how long one may take."""

    max_batch_size: int
    max_wait: timedelta
    beside_people: timedelta
    timeout: timedelta


def read_challenger_share(tags: Mapping[str, str]) -> tuple[int, str]:
    """Return the challenger's share of the traffic in per cent, 0 for what is no percentage; and what is wrong, or ''.

    `tags` are the registered model's.
    """
    return _read_share(tags, CHALLENGER_PERCENT)


def read_shadow_share(tags: Mapping[str, str]) -> tuple[int, str]:
    """Return the share of the champion's images that the shadow predicts too, and what is wrong, as the challenger's.

    `tags` are the registered model's.
    """
    return _read_share(tags, SHADOW_PERCENT)


def _read_share(tags: Mapping[str, str], tag: str) -> tuple[int, str]:
    text = tags.get(tag, "0")
    percent = whole_number(text, most=100)
    if percent is not None:
        return percent, ""
    return 0, f"the tag {tag} must be a whole number from 0 to 100, not {_shown(text)}"


def read_max_error_percent(tags: Mapping[str, str]) -> tuple[int | None, str]:
    """Return how many of a hundred images a new champion may fail, None for any number; and what is wrong, or ''.

    `tags` are the version's over the registered model's.
    """
    text = tags.get(MAX_ERROR_PERCENT, str(DEFAULT_MAX_ERROR_PERCENT))
    if text == "off":
        return None, ""
    percent = whole_number(text, most=100)
    if percent is not None:
        return percent, ""
    wrong = f"the tag {MAX_ERROR_PERCENT} must be off or a whole number from 0 to 100, not {_shown(text)}"
    return DEFAULT_MAX_ERROR_PERCENT, wrong


def read_keep_rule(tags: Mapping[str, str]) -> tuple[KeepRule | None, tuple[str, ...]]:
    """Return which pictures are kept to learn from, None where no tag says so; and what is wrong, if anything.

    `tags` are the champion's over the registered model's. With a wrong value none are kept: it may have meant `off`.
    """
    text = tags.get(KEEP_IMAGES)
    if text is None:
        return None, ()
    try:
        return parse_keep_rule(text), ()
    except ValueError as error:
        return NONE_KEPT, (f"the tag {KEEP_IMAGES} {error}: no pictures are kept",)


def read_tuning(tags: Mapping[str, str], *, usual: Tuning) -> tuple[Tuning, tuple[str, ...]]:
    """Return the settings' tuning as the tags change it, and a sentence for each tag with a wrong value.

    `timeout` may be shorter than the setting, not longer: health checks and the shutdown of a worker rely on that.
    """
    changed: dict[str, Any] = {}
    wrong: list[str] = []
    text = tags.get(f"{TAG_PREFIX}max_batch_size")
    if text is not None:
        images = whole_number(text, most=MOST_IMAGES)
        if images:
            changed["max_batch_size"] = images
        else:
            wrong.append(_sentence("max_batch_size", f"a whole number from 1 to {MOST_IMAGES}", text))
    for name, unit, words, least, most in (
        ("max_wait", _MILLISECOND, "milliseconds", timedelta(0), LONGEST_WAIT),
        ("beside_people", _MILLISECOND, "milliseconds", timedelta(0), LONGEST_WAIT),
        ("timeout", _SECOND, "seconds", timedelta(seconds=1), usual.timeout),
    ):
        text = tags.get(TAG_PREFIX + name)
        if text is None:
            continue
        duration = _duration(text, unit)
        if duration is not None and least <= duration <= most:
            changed[name] = duration
        else:
            wrong.append(_sentence(name, f"{words} from {least / unit:g} to {most / unit:g}", text))
    return replace(usual, **changed), tuple(wrong)


def read_pipelines(tags: Mapping[str, str]) -> tuple[dict[ModelName, dict[str, Any]], tuple[str, ...]]:
    """Return the pipelines that tags define, by name, and a sentence for each that can't be used.

    `darkroom.pipeline.dog-breeds` holds the definition of the pipeline dog-breeds, as JSON.
    """
    found: dict[ModelName, dict[str, Any]] = {}
    wrong: list[str] = []
    for tag, text in sorted(tags.items()):
        name = tag.removeprefix(PIPELINE_TAG)
        if name == tag:
            continue
        try:
            found[ModelName(name)] = _read_pipeline(name, text).definition()
        except InvalidParameter as error:
            wrong.append(f"the tag {tag} defines no pipeline: {error.detail}")
    return found, tuple(wrong)


def _read_pipeline(name: str, text: str) -> Pipeline:
    try:
        definition = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(detail=f"it is no JSON: {error}", pointer="") from None
    return parse_named_pipeline(name, definition)


def _duration(text: str, unit: timedelta) -> timedelta | None:
    try:
        return float(text) * unit
    except (ValueError, OverflowError):
        return None


def _sentence(name: str, wanted: str, text: str) -> str:
    return f"the tag {TAG_PREFIX}{name} must be {wanted}, not {_shown(text)}: the worker's setting stays"


def _shown(text: str) -> str:
    return repr(text[:LONGEST_SHOWN])
