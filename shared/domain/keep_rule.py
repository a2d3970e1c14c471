"""Which pictures of a model are kept to learn from: the text of a tag or setting, and what it means.

The text is `off`, `all`, or one or more of these with commas between them; a picture that meets any of them is kept:

* `5%` or `0.5%`: that share of all pictures, chosen by their digests, so that a picture is always in it or never;
* `below 0.6`: pictures of whose output the model is less sure than this;
* `disagree`: pictures on which champion and shadow disagree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.identifiers import Digest

KEEP_IMAGES: Final = "darkroom.keep_images"
"""Tag of a registered model, or of the version that is its champion: which of its pictures are kept."""
GRAMMAR: Final = "off, all, or any of '5%', 'below 0.6' and 'disagree', with commas between them"
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%", re.ASCII)
_BELOW: Final = re.compile(r"below (\d(?:\.\d{1,9})?)", re.ASCII)
_DRAWN: Final = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRule:
    """Which pictures are kept: `share` of all, from 0 to 1, those with a confidence `below`, those in disagreement."""

    share: float = 0.0
    below: float | None = None
    disagree: bool = False

    @property
    def keeps_none(self) -> bool:
        """Whether no picture meets the rule."""
        return self == NONE_KEPT

    def draws(self, digest: Digest) -> bool:
        """Tell whether a picture is in the share; other digits decide between champion and challenger."""
        return self.share > 0 and int(digest[24:32], 16) < self.share * _DRAWN

    def is_below(self, confidence: float | None) -> bool:
        """Tell whether an output of this confidence, None for one that has none, is among the unsure ones."""
        return self.below is not None and confidence is not None and confidence < self.below


NONE_KEPT: Final = KeepRule()


def parse_keep_rule(text: str) -> KeepRule:
    """Return the rule of a text; raises ValueError, with the grammar, for any other text. An empty one means `off`."""
    words = " ".join(text.lower().split())
    if words in ("", "off"):
        return NONE_KEPT
    if words == "all":
        return KeepRule(share=1.0)
    said: dict[str, Any] = {}
    for part in words.split(","):
        name, value = _condition(part.strip(), text)
        if name in said:
            raise _wrong(text)
        said[name] = value
    return KeepRule(**said)


def _condition(part: str, text: str) -> tuple[str, object]:
    """Return one condition as a member of KeepRule and its value."""
    if part == "disagree":
        return "disagree", True
    if (share := _SHARE.fullmatch(part)) and 0 < float(share[1]) <= 100:  # noqa: PLR2004  per cent
        return "share", float(share[1]) / 100
    if (below := _BELOW.fullmatch(part)) and 0 < float(below[1]) <= 1:
        return "below", float(below[1])
    raise _wrong(text)


def confidence_of(output: Any) -> float | None:
    """Return how sure a model is of an output, from 0 to 1: None where its task has no such figure.

    Of a classification its `confidence`, of a detection the score of its least certain box, of several labels that of
    the least certain one that it predicts. A picture in which nothing was found has none.
    """
    match output:
        case {"confidence": float() | int() as confidence}:
            return float(confidence)
        case {"detections": [*found]}:
            return _lowest(one.get("score") for one in found if isinstance(one, Mapping))
        case {"predicted_classes": [*predicted], "scores": Mapping() as scores}:
            return _lowest(scores.get(label) for label in predicted)
        case _:
            return None


def _lowest(scores: Any) -> float | None:
    return min((float(score) for score in scores if isinstance(score, (int, float))), default=None)


def _wrong(text: str) -> ValueError:
    return ValueError(f"must be {GRAMMAR}, not {text[:60]!r}")
