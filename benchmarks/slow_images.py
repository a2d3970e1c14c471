"""`python -m benchmarks.slow_images [--url URL --key KEY --other-key KEY]`: what slow image files cost.

Prints for each of `slow_shapes` the gateway's answer and its time, the estimate of the work, how long it is decoded in
a process of its own, and, with the URL of a running stack that asks for keys, how long another owner's images take
beside eight of them.
"""

import argparse
import multiprocessing
import multiprocessing.synchronize
import statistics
import time
from datetime import timedelta

import httpx
from rich.console import Console
from rich.table import Table

from api.uploads.image_check import check_image
from benchmarks.load.images import numbered_pixel
from benchmarks.load.slow_shapes import SHAPES
from shared.domain.errors import DarkroomError
from shared.domain.image import ImageSpec
from shared.settings import Intake
from worker.decode.decoder_process import DecoderProcess
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import estimated_work

SPEC = ImageSpec((256,), (224,))
AT_ONCE = 8
_SAMPLES = 300
_LONGEST = 30.0
"""Seconds for one shape."""


def main() -> None:
    """Measure and print a row a shape."""
    options = _options()
    table = Table("shape", "MB", "gateway", "ms", "estimate ms", "decoded in s", "then", "beside it p50, p99 ms")
    decoder = DecoderProcess(longest=timedelta(seconds=2), max_pixels=Intake().max_image_pixels)
    for name, make in SHAPES.items():
        if options.only and options.only not in name:
            continue
        data = make()
        answer, milliseconds = _gateway(data)
        started = time.perf_counter()
        try:
            decoder.decode(data, SPEC)
            outcome = "decoded"
        except Undecodable as error:
            outcome = str(error)
        seconds = time.perf_counter() - started
        beside = _beside(options, data) if options.url and answer == "accepted" else ""
        estimate = f"{estimated_work(data, SPEC):.1f}"
        row = [name, f"{len(data) / 1e6:.2f}", answer, f"{milliseconds:.1f}", estimate, f"{seconds:.3f}", outcome]
        table.add_row(*row, beside)
        print(*row, beside, sep=" | ", flush=True)
    decoder.stop()
    Console(width=200).print(table)


def _gateway(data: bytes) -> tuple[str, float]:
    """Return what the gateway says of an image, and how long it took for that."""
    started = time.perf_counter()
    try:
        check_image(data, filename=None, content_type=None, limits=Intake())
        answer = "accepted"
    except DarkroomError as error:
        answer = getattr(error, "reason", type(error).__name__)
    return answer, (time.perf_counter() - started) * 1000


def _beside(options: argparse.Namespace, data: bytes) -> str:
    """Send eight of an image again and again, each its own, and another owner's small ones meanwhile.

    They are sent by a process of their own: a thread that sends 20 MB would delay the measuring thread.
    """
    over = multiprocessing.Event()
    flood = multiprocessing.Process(target=_flood, args=(options.url, options.key, data, over))
    flood.start()
    times: list[float] = []
    headers = {"Authorization": f"Bearer {options.other_key}", "Prefer": "wait=30"}
    until = time.perf_counter() + _LONGEST
    with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
        number = time.time_ns() % 1_000_000_000
        while len(times) < _SAMPLES and (len(times) < 2 or time.perf_counter() < until):
            number += 1
            started = time.perf_counter()
            _submit(client, numbered_pixel(number))
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(0.01)
    over.set()
    flood.join()
    cuts = statistics.quantiles(times, n=100)
    return f"{cuts[49]:.0f}, {cuts[98]:.0f} (of {len(times)})"


def _flood(url: str, key: str, data: bytes, over: "multiprocessing.synchronize.Event") -> None:
    """Send eight of an image, wait until all have ended, and begin again until it is over."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        while not over.is_set():
            sent = [_submit(client, data + time.time_ns().to_bytes(8, "big")) for _ in range(AT_ONCE)]
            for id in filter(None, sent):
                while client.get(f"/v1/predictions/{id}").json()["status"] in _UNFINISHED:
                    time.sleep(0.05)


_UNFINISHED = {"starting", "processing"}


def _submit(client: httpx.Client, data: bytes) -> str | None:
    answer = client.post("/v1/predictions", content=data, headers={"Content-Type": "application/octet-stream"})
    body: dict[str, str | None] = answer.json()
    return body.get("id")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--key")
    parser.add_argument("--other-key")
    parser.add_argument("--only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
