"""Many registered models and a budget of memory for few: how long a model's first request takes, and the others.

The registry gets the digits' version under each name, and the stack serves them all. Every model is asked for one image
after the other, so most have been unloaded when their turn comes; then one of them, again and again.
"""

import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import numpy as np
from PIL import Image

from benchmarks.order_statistics import middle, percentile
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.stack.promotion import Promotions
from benchmarks.workbench import Workbench, WrongResult

MODELS: Final = 50
BUDGET: Final = 10_000_000
"""Bytes of loaded versions a process: some 240 KB each, so 42 of the 50 fit."""
SETTINGS: Final = {"DARKROOM_PREDICT_MEMORY": str(BUDGET)}
AGAIN: Final = 200
"""Requests to one model that stays loaded."""
_UNLOADS: Final = re.compile(r"^darkroom_model_unloads_total\{[^}]*\} (\S+)$", re.MULTILINE)
_MEMORY: Final = re.compile(r"^darkroom_model_memory_bytes\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyModels:
    """Seconds until all were served; milliseconds of each model's first request of a round and of one asked again.

    `loaded` and `megabytes` are those of the process that held most after the rounds, `unloads` of all processes.
    """

    models: int
    workers: int
    served_seconds: float
    first: list[float]
    again: list[float]
    unloads: int
    loaded: int
    megabytes: float

    @property
    def first_p50(self) -> float:
        """The middle first request."""
        return middle(self.first)

    @property
    def first_p99(self) -> float:
        """The 99th percentile of the first requests."""
        return percentile(self.first, 0.99)


def names() -> list[str]:
    """Return the names of the models."""
    return [f"digits-{number:02}" for number in range(MODELS)]


def measure(bench: Workbench, stack: Stack) -> ManyModels:
    """Register the models, wait until all are served, and ask for their images; every answer is checked."""
    promotions = Promotions(stack)
    began = time.monotonic()
    try:
        promotions.register_as(names())
    finally:
        promotions.close()
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=120) as client:
        servers.wait_until(lambda: _all_served(client), limit=300, pause=0.5, what=f"{MODELS} models served")
        served = time.monotonic() - began
        pictures = _pictures()
        first = [_ask(client, name, next(pictures)) for _ in range(2) for name in names()]
        for _ in range(10):  # until each worker has it loaded
            _ask(client, names()[0], next(pictures))
        again = [_ask(client, names()[0], next(pictures)) for _ in range(AGAIN)]
    stack.wait_until_idle(limit=60)
    told = [httpx.get(url, timeout=30).text for url in stack.metrics["predict"]]
    held = [[float(size) for size in _MEMORY.findall(text)] for text in told]
    bench.say(f"  first {middle(first):.0f} ms, again {middle(again):.1f} ms, served after {served:.0f} s")
    return ManyModels(
        models=MODELS,
        workers=len(told),
        served_seconds=served,
        first=first,
        again=again,
        unloads=int(sum(float(count) for text in told for count in _UNLOADS.findall(text))),
        loaded=max(len(sizes) for sizes in held),
        megabytes=max(sum(sizes) for sizes in held) / 1e6,
    )


def _all_served(client: httpx.Client) -> bool:
    listed: list[dict[str, Any]] = client.get("/v1/models").json()["results"]
    return set(names()) <= {one["name"] for one in listed if one["aliases"].get("champion")}


def _ask(client: httpx.Client, name: str, picture: bytes) -> float:
    """Return the milliseconds from a submission to its answer."""
    began = time.perf_counter()
    answer = client.post(
        f"/v1/predictions?model={name}", content=picture, headers={"Content-Type": "image/png", "Prefer": "wait=60"}
    )
    milliseconds = (time.perf_counter() - began) * 1000
    if answer.status_code != httpx.codes.OK or answer.json()["status"] != "succeeded":
        raise WrongResult(f"{name} answered {answer.status_code}: {answer.text[:300]}")
    return milliseconds


def _pictures() -> Iterator[bytes]:
    """Yield PNGs of noise: no two are alike, so none is answered from the cache."""
    random = np.random.default_rng(time.time_ns())
    while True:
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (32, 32), np.uint8)).save(file, "PNG")
        yield file.getvalue()
