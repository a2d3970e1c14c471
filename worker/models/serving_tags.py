"""Tags of a registered model that say how it is served: how much of the traffic its challenger gets."""

from collections.abc import Mapping
from typing import Final

from worker.models.metadata_values import TAG_PREFIX

CHALLENGER_PERCENT: Final = f"{TAG_PREFIX}challenger_percent"


def read_challenger_share(tags: Mapping[str, str]) -> tuple[int, str]:
    """Return the challenger's share of the traffic in per cent, 0 for what is no percentage; and what is wrong, or ''.

    `tags` are the registered model's.
    """
    text = tags.get(CHALLENGER_PERCENT, "0")
    if text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  per cent
        return int(text), ""
    return 0, f"the tag {CHALLENGER_PERCENT} must be a whole number from 0 to 100, not {text!r}"
