"""The queue and the recorder without processes: each step of a job's life is a call."""

from datetime import timedelta

import orjson
import redis
from sqlalchemy import Engine

from cli.audit.invariants import audit
from shared.domain.identifiers import ANYONE, Digest, ModelName, PredictionId, VersionKey, new_uuid7
from shared.queue import bells, keys
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, Scripts
from shared.settings import Queue, Recording
from tests.support.observations import record_observer
from worker.record.recorder import Recorder

MODEL = ModelName("digits")
LANE = keys.lane(MODEL, keys.INTERACTIVE)
BULK = [keys.bulk_lane(f"b{number}") for number in range(1, 9)]
OUTPUT = b'{"predicted_class":"7","predicted_index":7,"confidence":0.998,"probabilities":{"7":0.998,"1":0.001}}'


class System:
    """One model's lanes and the recorder behind them, moved by the product's own scripts."""

    def __init__(self, client: redis.Redis, engine: Engine, database_url: str, redis_url: str) -> None:
        self.client, self.engine = client, engine
        self._urls = {"redis_url": redis_url, "database_url": database_url}
        self._scripts = Scripts(client)
        self.lanes = Lanes(client, model=MODEL, consumer="w", settings=Queue())
        self.recorder = Recorder(
            client, engine, Recording(linger=timedelta(0)), consumer="r",
            recorded_ttl=timedelta(hours=1), ring_again=lambda: None, ring_courier=lambda: None,
            observer=record_observer(),
        )  # fmt: skip

    def audit(self) -> list[str]:
        return audit(**self._urls)

    def submit(
        self, image: bytes, *, lane: str = keys.INTERACTIVE, waiters: int = 500, cancel_after: timedelta = timedelta(0)
    ) -> str:
        """Submit one image, its own digest, and return the id; `cancel_after` zero is never."""
        id, version, digest = PredictionId(new_uuid7()), VersionKey("3-m-1"), Digest(image.hex().ljust(64, "0"))
        request = {
            "model": MODEL, "version": "3", "version_key": version, "variant": "champion", "metadata": {},
            "image": {"sha256": digest, "format": "PNG", "width": 1, "height": 1, "bytes": 9, "filename": None},
            "base_url": "", "webhook": None, "custom_id": None,
        }  # fmt: skip
        names = (
            keys.lane(MODEL, lane), keys.bell(MODEL), keys.inflight(ANYONE),
            "" if lane == keys.INTERACTIVE else keys.rotation(MODEL), "",
            keys.job(id), "", keys.cache(ANYONE, MODEL, version=version, digest=digest),
            keys.waiting(ANYONE, MODEL, lane=lane, version=version, digest=digest),
        )  # fmt: skip
        self._scripts.run(
            Script.SUBMIT, names, ANYONE, "", 100_000, 2**40, waiters, 0, 0, 0, "",
            keys.predict_queue(MODEL), bells.predict_message(MODEL), bells.record_message(),
            id, orjson.dumps(request), image, version, cancel_after // timedelta(microseconds=1), "", 0, "",
        )  # fmt: skip
        return id

    def end_deadlines(self, *ids: str) -> None:
        """Let the deadlines of these jobs pass."""
        for id in ids:
            self.client.hset(keys.job(id), "deadline", 1)
        self.client.zadd(keys.DEADLINES, dict.fromkeys(ids, 1), xx=True)

    def cancel(self, id: str) -> None:
        self._scripts.run(Script.CANCEL, (), bells.record_message(), id, "user", ANYONE)

    def compute(self, limit: int = 64) -> int:
        """Pull and finish one micro-batch."""
        entries = self.lanes.begin(self.lanes.pull(limit).entries)
        results = [Result(entry, "succeeded", OUTPUT) for entry in entries]
        return self.lanes.finish(results, run=b'{"batch_size":1,"predict_ms":1.0,"worker":"w"}')


def submit(system: System, count: int, *, lane: str = keys.INTERACTIVE) -> list[str]:
    """Submit so many different images."""
    return [system.submit(f"{lane} {number}".encode(), lane=lane) for number in range(count)]


def images(entries: list[Entry]) -> list[str]:
    return [entry.image.decode() for entry in entries]


def jobs(client: redis.Redis, ids: list[str], *fields: str) -> list[tuple[str, ...]]:
    """Return these fields of each job."""
    return [tuple(value.decode() for value in client.hmget(f"job:{id}", *fields)) for id in ids]
