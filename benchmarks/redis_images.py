"""`python -m benchmarks.redis_images`: what an image costs Redis by its size and by step, for one or more servers.

Drives the product's own pipeline and scripts against servers of its own: 64 submissions at once, then one micro-batch
that is pulled, begun and finished. Processor time is the servers' and this process's, so other load moves it little.
"""

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.stack.servers import process, wait_until
from benchmarks.workbench import WrongResult
from cli.stack import probes
from cli.stack.servers.redis import redis_executable, redis_program, redis_url
from shared.domain.identifiers import ANYONE, Digest, ModelName, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.key_limits import UNLIMITED
from shared.domain.model_route import Choice
from shared.queue.connection.clients import connect, connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.producer.jobs import Jobs
from shared.queue.producer.submission import Submission
from shared.settings import Queue, Redis

MODEL = ModelName("digits")
AT_ONCE = 64
OUTPUT = b'{"predicted_class":"7","predicted_index":7,"confidence":0.998,"probabilities":{"7":0.998,"1":0.001}}'
RUN = b'{"batch_size":64,"predict_ms":12.0,"worker":"w"}'
STEPS = ("submit", "pull", "begin", "finish")


@dataclass
class Costs:
    """Microseconds of processor time an image, by step: the server's main thread, its other threads, and ours."""

    main: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    others: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    client: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def thread_microseconds(pid: int) -> tuple[float, float]:
    """Return how long a process's main thread, and all its others, have run: the scheduler's account, exact."""
    main = others = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran = int((task / "schedstat").read_text().split()[0]) / 1000
        except (FileNotFoundError, ProcessLookupError):
            continue
        if task.name == str(pid):
            main += ran
        else:
            others += ran
    return main, others


@contextmanager
def server(program: str, arguments: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Run a server as `darkroom up` does, with other arguments after; give its process id and address."""
    with tempfile.TemporaryDirectory(prefix="darkroom-redis-") as scratch:
        folder = Path(scratch)
        made = redis_program(folder=folder, sockets=folder, appendfsync="everysec")
        # A rewrite costs as much as thousands of images; it is left out.
        command = [program, *made.command[1:], "--auto-aof-rewrite-percentage", "0", "--maxmemory", "0", *arguments]
        with process(command, log=folder / "redis.log") as running:
            wait_until(lambda: probes.redis_answers(redis_url(folder)) == "", limit=10, pause=0.05, what=program)
            yield running.pid, redis_url(folder)


def submission(image: bytes) -> Submission:
    """Return a submission of an image, under a new id."""
    digest = Digest(hashlib.sha256(image[:64]).hexdigest())
    facts = ImageFacts(sha256=digest, format="JPEG", width=640, height=427, bytes=len(image), filename=None)
    choice = Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey("3-m-1"), variant="champion")
    return Submission(
        id=PredictionId(new_uuid7()), owner=ANYONE, choice=choice, image=image, facts=facts, metadata={}, base_url=""
    )


async def measure(pid: int, url: str, settings: Queue, *, size: int, images: int) -> Costs:
    """Put images through in micro-batches; return what one cost."""
    costs = Costs()
    async_client = connect_async(Redis(url=url))
    pipeline = Pipeline(async_client, timeout=timedelta(seconds=10))
    jobs = Jobs(pipeline)
    client = connect(Redis(url=url))
    lanes = Lanes(client, model=MODEL, consumer="w", settings=settings)
    noise = os.urandom(size)
    before = (*thread_microseconds(pid), time.process_time() * 1e6)

    def charge(step: str) -> None:
        nonlocal before
        after = (*thread_microseconds(pid), time.process_time() * 1e6)
        for account, new, old in zip((costs.main, costs.others, costs.client), after, before, strict=True):
            account[step] += (new - old) / images
        before = (*thread_microseconds(pid), time.process_time() * 1e6)

    for _ in range(images // AT_ONCE):
        made = [submission(os.urandom(64) + noise[64:]) for _ in range(AT_ONCE)]
        requests = [one.request() for one in made]
        before = (*thread_microseconds(pid), time.process_time() * 1e6)
        await asyncio.gather(
            *(
                jobs.submit(one, request, settings=settings, memory_is_high=False, limits=UNLIMITED)
                for one, request in zip(made, requests, strict=True)
            )
        )
        charge("submit")
        entries = lanes.pull(AT_ONCE).entries
        charge("pull")
        if [len(entry.image) for entry in entries] != [size] * AT_ONCE:
            raise WrongResult("what was pulled is not what was submitted")
        entries = lanes.begin(entries)
        charge("begin")
        lanes.finish([Result(entry, "succeeded", OUTPUT) for entry in entries], run=RUN)
        charge("finish")
        client.delete("record")
        client.xtrim("finished", maxlen=0)
    await pipeline.close()
    await async_client.aclose()
    client.close()
    return costs


def main() -> None:
    """Measure in turns, and print a table of medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_images", description=__doc__)
    parser.add_argument("--server", action="append", default=[], help="NAME=PROGRAM ARGUMENTS…, may be repeated")
    parser.add_argument("--size", action="append", type=int, default=[], help="bytes of an image, may be repeated")
    parser.add_argument("--megabytes", type=int, default=128, help="of images a measurement")
    parser.add_argument("--most", type=int, default=6_400, help="images a measurement")
    parser.add_argument("--inline", action="store_true", help="and every image within its submission, in turns")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    servers = dict(text.split("=", 1) for text in options.server) or {"embedded": redis_executable()}
    ways = {"": Queue()} | ({", inline": Queue(max_inline_image=2**30)} if options.inline else {})
    sizes = options.size or [1_500, 53_000, 1_000_000]
    found: dict[tuple[str, int], list[Costs]] = defaultdict(list)
    for _ in range(options.turns):
        for server_name, text in servers.items():
            program, *arguments = text.split()
            for (name, queue), size in product(ways.items(), sizes):
                with server(program, arguments) as (pid, url):
                    images = max(AT_ONCE, min(options.most, options.megabytes * 1_000_000 // size) // AT_ONCE * AT_ONCE)
                    found[f"{server_name}{name}", size].append(
                        uvloop.run(measure(pid, url, queue, size=size, images=images))
                    )
    show(found)


def show(found: dict[tuple[str, int], list[Costs]]) -> None:
    """Print the medians of all turns."""
    table = Table("server", "bytes", *STEPS, "main thread", "its other threads", "this process: submit", "pull")
    for (name, size), runs in found.items():
        steps = [median(run.main[step] for run in runs) for step in STEPS]
        totals = [median(sum(run.main.values()) for run in runs), median(sum(run.others.values()) for run in runs)]
        ours = [median(run.client[step] for run in runs) for step in ("submit", "pull")]
        table.add_row(name, f"{size:,}", *(f"{value:.1f}" for value in (*steps, *totals, *ours)))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
