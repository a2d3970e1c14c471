"""Tags that say how a model is served: its challenger's share of the traffic, and when a new champion goes back."""

from collections.abc import Mapping
from typing import Final

from worker.models.metadata_values import TAG_PREFIX

CHALLENGER_PERCENT: Final = f"{TAG_PREFIX}challenger_percent"
MAX_ERROR_PERCENT: Final = f"{TAG_PREFIX}max_error_percent"
DEFAULT_MAX_ERROR_PERCENT: Final = 50


def read_challenger_share(tags: Mapping[str, str]) -> tuple[int, str]:
    """Return the challenger's share of the traffic in per cent, 0 for what is no percentage; and what is wrong, or ''.

    `tags` are the registered model's.
    """
    text = tags.get(CHALLENGER_PERCENT, "0")
    if text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  per cent
        return int(text), ""
    return 0, f"the tag {CHALLENGER_PERCENT} must be a whole number from 0 to 100, not {text!r}"


def read_max_error_percent(tags: Mapping[str, str]) -> tuple[int | None, str]:
    """Return how many of a hundred images a new champion may fail, None for any number; and what is wrong, or ''.

    `tags` are the version's over the registered model's.
    """
    text = tags.get(MAX_ERROR_PERCENT, str(DEFAULT_MAX_ERROR_PERCENT))
    if text == "off":
        return None, ""
    if text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  per cent
        return int(text), ""
    wrong = f"the tag {MAX_ERROR_PERCENT} must be off or a whole number from 0 to 100, not {text!r}"
    return DEFAULT_MAX_ERROR_PERCENT, wrong
