"""The demo's trial: send images the model has never seen through the whole stack, and measure accuracy and speed."""

import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cli.client import Client, Prediction

IMAGES: Final = 200
REPEATED: Final = 50
"""How many of the images are sent a second time, to be answered from the cache."""
AT_ONCE: Final = 8
_PNG_HEADER: Final = 8 + 25
"""Bytes of the signature and the IHDR chunk, which comes first in every PNG."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: the label from the file name, the prediction, and seconds until the answer."""

    label: str
    prediction: Prediction
    seconds: float
    repeated: bool

    @property
    def is_right(self) -> bool:
        """Whether the prediction is the label."""
        return (self.prediction["output"] or {}).get("predicted_class") == self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a run. Accuracy counts each image once; latencies are the client's, in seconds."""

    requests: int
    failed: int
    accuracy: float
    per_second: float
    p50: float
    p99: float
    repeated_p50: float
    sources: dict[str, int]


def held_out_images(folder: Path, *, count: int) -> list[Path]:
    """Return `count` images named `<label>-<number>.png`, spread over all labels; fewer where there are fewer."""
    # Sorted by number the labels are mixed.
    return sorted(folder.glob("*-*.png"), key=lambda path: int(path.stem.partition("-")[2]))[:count]


def send(
    client: Client, images: Sequence[Path], *, model: str, repeated: int, advance: Callable[[], None]
) -> tuple[list[Outcome], float]:
    """Send every image, then the first `repeated` once more, AT_ONCE at a time; return outcomes and seconds in all.

    Raises client.Declined for the first request that is refused.
    """
    run = os.urandom(8).hex().encode()
    requests = [(path, False) for path in images] + [(path, True) for path in images[:repeated]]
    # Read and stamped before the time is measured.
    ready = [(path, stamp(path.read_bytes(), run), again) for path, again in requests]
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = []
        for outcome in pool.map(partial(_send_one, client, model), ready):
            outcomes.append(outcome)
            advance()
    return outcomes, time.perf_counter() - began


def stamp(png: bytes, text: bytes) -> bytes:
    """Add a comment to a PNG: same picture, other bytes, so that no earlier run's cached answer is used."""
    content = b"tEXtComment\0" + text
    chunk = (len(content) - 4).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)
    return png[:_PNG_HEADER] + chunk + png[_PNG_HEADER:]


def trial_figures(outcomes: Sequence[Outcome], *, seconds: float) -> Figures:
    """Return the figures of a run."""
    first = [outcome for outcome in outcomes if not outcome.repeated]
    sources = [outcome.prediction["source"] for outcome in outcomes]
    return Figures(
        requests=len(outcomes),
        failed=sum(outcome.prediction["status"] != "succeeded" for outcome in outcomes),
        accuracy=sum(outcome.is_right for outcome in first) / len(first),
        per_second=len(outcomes) / seconds,
        p50=percentile((outcome.seconds for outcome in first), 50),
        p99=percentile((outcome.seconds for outcome in first), 99),
        repeated_p50=percentile((outcome.seconds for outcome in outcomes if outcome.repeated), 50),
        sources={source: sources.count(source) for source in ("model", "cache", "coalesced")},
    )


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the nearest-rank percentile; 0 of no values."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else 0.0


def _send_one(client: Client, model: str, request: tuple[Path, bytes, bool]) -> Outcome:
    path, content, repeated = request
    began = time.perf_counter()
    prediction = client.submit(content, filename=path.name, model=model, wait=True)
    return Outcome(path.stem.partition("-")[0], prediction, time.perf_counter() - began, repeated)
