"""The limits of API keys, lanes and memory, as the submit script applies them, on a real Redis.

Over 300 lines: the limits share one script and one set of helpers.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from shared.domain.errors import DarkroomError, QueueFull, RateLimited
from shared.domain.identifiers import (
    ANYONE,
    BatchId,
    Digest,
    KeyId,
    Owner,
    PredictionId,
    VersionKey,
    VersionNumber,
    new_uuid7,
)
from shared.domain.image import ImageFacts
from shared.domain.key_limits import UNLIMITED, Limits, Remaining
from shared.domain.model_route import Choice
from shared.queue import keys
from shared.queue.lua import Script, Scripts, source
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import (
    Answer,
    Failed,
    Hit,
    Known,
    Queued,
    Submission,
    Unreadable,
    is_staged,
    prepared,
    rate_arguments,
    read_answer,
    read_item,
    read_left,
    submit_command,
)
from shared.settings import Queue
from tests.support.queue_system import MODEL, System
from tests.support.servers import RedisServer

KEY = KeyId("k")
SLOW = Limits(key=KEY, rate=0.001)
"""One image in 15 minutes, which is longer than any test."""


class Client:
    """Submits images, several in one script call, under one key's limits."""

    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        client.script_load(source(Script.SUBMIT))

    def send(
        self,
        *images: bytes,
        limits: Limits = UNLIMITED,
        settings: Queue | None = None,
        memory_is_high: bool = False,
        **more: Any,
    ) -> tuple[list[Answer | DarkroomError], Remaining]:
        """Return what became of each, and what is left of the limits."""
        upload = [submission(image, **more) for image in images]
        jobs = [prepared(one) for one in upload]
        for one in upload:
            if is_staged(one.image, settings or Queue()):
                self.redis.execute_command(*stage_command(one))
        command = submit_command(*jobs, settings=settings or Queue(), memory_is_high=memory_is_high, limits=limits)
        *replies, rest = self.redis.execute_command(*command)
        left = read_left(rest)
        found: list[Answer | DarkroomError] = []
        for one, reply in zip(upload, replies, strict=True):
            try:
                found.append(read_answer(reply, one, limits=limits, left=left))
            except DarkroomError as error:
                found.append(error)
        return found, left

    def pass_time(self, time: timedelta) -> None:
        """Move the key's rate back in time, as if everything had been taken so much earlier."""
        used_up = int(self.redis.get(keys.rate(KEY)) or 0) - time // timedelta(microseconds=1)
        self.redis.set(keys.rate(KEY), used_up)


def submission(image: bytes, *, owner: Owner = ANYONE, id: str = "", key: str = "") -> Submission:
    digest = Digest(hashlib.sha256(image).hexdigest())
    return Submission(
        id=PredictionId(id or new_uuid7()), owner=owner, image=image, metadata={}, base_url="",
        choice=Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey("3-m-1"), variant="champion"),
        facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(image), filename=None),
        idempotency_key=key, fingerprint=image.decode() if key else "",
    )  # fmt: skip


@pytest.fixture
def client(redis_client: redis.Redis) -> Client:
    return Client(redis_client)


def no_image(number: int, *, batch: BatchId) -> Unreadable:
    return Unreadable(
        id=PredictionId(new_uuid7()), owner=ANYONE, lane=keys.bulk_lane(batch), batch=batch, size=1, sha256=None,
        choice=Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey("3-m-1"), variant="champion"),
        custom_id=f"line {number}", filename=None, error="the line is no JSON object",
    )  # fmt: skip


class Uploader:
    """Submits items that are no images, in one batch."""

    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        self.batch = BatchId(new_uuid7())
        client.script_load(source(Script.SUBMIT))
        client.hset(keys.batch(self.batch), mapping={"state": "validating", "owner": ANYONE, "total": 0})

    def send(
        self, items: int, *, limits: Limits = UNLIMITED, settings: Queue | None = None, memory_is_high: bool = False
    ) -> list[type]:
        upload = [no_image(number, batch=self.batch) for number in range(items)]
        jobs = [prepared(one) for one in upload]
        command = submit_command(*jobs, settings=settings or Queue(), memory_is_high=memory_is_high, limits=limits)
        *replies, _ = self.redis.execute_command(*command)
        found: list[type] = []
        for one, reply in zip(upload, replies, strict=True):
            try:
                found.append(type(read_item(reply, one)))
            except DarkroomError as error:
                found.append(type(error))
        return found

    @property
    def failed(self) -> int:
        """Return how many have failed and wait for their row; the batch's total must be the same."""
        assert int(self.redis.hget(keys.batch(self.batch), "total") or 0) == self.redis.xlen(keys.FINISHED)  # type: ignore[arg-type]
        return int(self.redis.xlen(keys.FINISHED))


@pytest.fixture
def uploader(redis_client: redis.Redis) -> Uploader:
    return Uploader(redis_client)


def kinds(found: list[Answer | DarkroomError]) -> list[type]:
    return [type(one) for one in found]


def test_the_rate_allows_a_burst_of_one_second(client: Client) -> None:
    limits = Limits(key=KEY, rate=4)
    found, left = client.send(*(b"%d" % number for number in range(6)), limits=limits)
    assert kinds(found) == [Queued] * 4 + [RateLimited] * 2
    assert left.images == 0
    assert timedelta(seconds=0.9) < left.until_all <= timedelta(seconds=1)
    refused = found[-1]
    assert isinstance(refused, RateLimited)
    assert timedelta(0) < refused.retry_after <= timedelta(seconds=0.25)
    client.pass_time(timedelta(seconds=0.5))
    found, _ = client.send(b"7", b"8", b"9", b"10", limits=Limits(key=KEY, rate=4))
    assert kinds(found)[:2] == [Queued] * 2
    assert kinds(found)[3] is RateLimited
    client.pass_time(timedelta(hours=1))
    found, left = client.send(b"11", limits=limits)
    assert left.images == 3, "what was not used long ago is not saved up"


def test_a_rate_below_one_per_second_allows_one_image(client: Client) -> None:
    found, left = client.send(b"1", b"2", limits=SLOW)
    assert kinds(found) == [Queued, RateLimited]
    assert left == Remaining(images=0, until_all=left.until_all)
    refused = found[1]
    assert isinstance(refused, RateLimited)
    assert timedelta(seconds=990) < refused.retry_after <= timedelta(seconds=1000)
    assert timedelta(milliseconds=client.redis.pttl(keys.rate(KEY))) <= timedelta(seconds=1001), "it is forgotten then"


def test_a_refused_image_leaves_nothing_behind(client: Client) -> None:
    client.send(b"1", limits=SLOW)
    before = {name: client.redis.dump(name) for name in client.redis.keys("*")}
    for limits in (SLOW, Limits(key=KEY, max_inflight=1)):
        found, _ = client.send(b"2", limits=limits, key="again")
        assert kinds(found) == [RateLimited]
        assert {name: client.redis.dump(name) for name in client.redis.keys("*")} == before
    found, _ = client.send(b"2", key="again")
    assert kinds(found) == [Queued]


def test_a_repeated_job_or_idempotency_key_takes_nothing_of_the_limits(client: Client) -> None:
    id = new_uuid7()
    for _ in range(3):
        found, _ = client.send(b"1", limits=SLOW, id=id, key="k")
        assert kinds(found)[0] in (Queued, Known)
    found, _ = client.send(b"1", limits=SLOW, key="k")
    assert kinds(found) == [Known]


def test_a_cache_hit_counts_towards_the_rate_and_is_never_unfinished(client: Client, system: System) -> None:
    system.submit(b"1")
    system.compute()
    image = b"2"
    client.send(image)
    system.compute()
    found, left = client.send(image, image, limits=Limits(key=KEY, rate=0.001, max_inflight=1))
    assert kinds(found) == [Hit, RateLimited]
    assert left.unfinished == 1


def test_unfinished_jobs_count_for_their_owner_whatever_they_wait_for(client: Client, system: System) -> None:
    limits = Limits(key=KEY, max_inflight=3)
    # Two that share a computation, and one of its own.
    found, left = client.send(b"1", b"1", b"2", b"3", limits=limits)
    assert kinds(found) == [Queued, Queued, Queued, RateLimited]
    assert left == Remaining(unfinished=0)
    found, _ = client.send(b"4", limits=limits, owner=Owner("another"))
    assert kinds(found) == [Queued]
    system.compute()
    found, left = client.send(b"5", limits=limits)
    assert kinds(found) == [Queued]
    assert left == Remaining(unfinished=2)


def test_each_key_has_its_own_rate(client: Client) -> None:
    for key in ("a", "b"):
        found, _ = client.send(b"%s" % key.encode(), limits=Limits(key=KeyId(key), rate=0.001))
        assert kinds(found) == [Queued]


def test_without_limits_nothing_is_stored_for_them(client: Client) -> None:
    _, left = client.send(b"1")
    assert left == Remaining()
    assert client.redis.keys("rate:*") == []


def test_a_lanes_bytes_are_limited_until_it_empties(client: Client, system: System) -> None:
    settings = Queue(max_lane_bytes=100_000)
    big = [bytes([65 + number]) * 30_000 for number in range(6)]
    found, _ = client.send(*big, settings=settings)
    assert kinds(found) == [Queued] * 4 + [QueueFull] * 2
    found, _ = client.send(b"small", settings=settings)
    assert kinds(found) == [QueueFull]
    system.compute()
    found, _ = client.send(b"small", settings=settings)
    assert kinds(found) == [Queued]


def test_requests_that_make_no_job_count_towards_the_rate(client: Client) -> None:
    scripts = Scripts(client.redis)

    def take() -> int:
        return int(scripts.run(Script.TAKE, (keys.rate(KEY),), *rate_arguments(SLOW))[0])

    assert take() == 0
    assert 990_000_000 < take() <= 1_000_000_000
    found, _ = client.send(b"1", limits=SLOW)
    assert kinds(found) == [RateLimited]


def test_items_that_are_no_images_count_towards_the_rate(uploader: Uploader) -> None:
    limits = Limits(key=KEY, rate=3)
    assert uploader.send(32, limits=limits) == [Failed] * 3 + [RateLimited] * 29
    assert uploader.send(32, limits=limits) == [RateLimited] * 32
    assert uploader.failed == 3


def test_items_that_are_no_images_are_refused_over_the_unfinished_limit(client: Client, uploader: Uploader) -> None:
    limits = Limits(key=KEY, max_inflight=2)
    client.send(b"1", b"2", limits=limits)
    assert uploader.send(3, limits=limits) == [RateLimited] * 3
    assert uploader.failed == 0


def test_items_that_are_no_images_are_refused_when_lane_or_memory_is_full(client: Client, uploader: Uploader) -> None:
    assert uploader.send(2, memory_is_high=True) == [QueueFull] * 2
    upload = submission(b"1")
    upload = replace(upload, lane=keys.bulk_lane(uploader.batch), batch=uploader.batch)
    client.redis.execute_command(*submit_command(prepared(upload), settings=Queue(), memory_is_high=False))
    assert uploader.send(2, settings=Queue(max_lane_depth=1)) == [QueueFull] * 2
    assert uploader.send(2, settings=Queue(max_lane_bytes=1)) == [QueueFull] * 2
    assert client.redis.xlen(keys.FINISHED) == 0


def test_unrecorded_items_that_are_no_images_are_limited_by_the_lanes_depth(uploader: Uploader) -> None:
    """While Postgres is away, nothing else would bound them."""
    assert uploader.send(5, settings=Queue(max_lane_depth=3)) == [Failed] * 3 + [QueueFull] * 2
    found = uploader.send(64, settings=Queue(max_lane_bytes=12_000))
    assert 0 < found.count(Failed) < 64
    assert found.count(QueueFull) == 64 - found.count(Failed)
    assert uploader.failed == 3 + found.count(Failed)


def test_an_item_that_is_no_image_writes_little_to_the_append_only_file(
    start_redis: Callable[..., RedisServer],
) -> None:
    with start_redis(appendfsync="everysec").client() as client:
        uploader, before = Uploader(client), client.info("persistence")["aof_current_size"]
        for _ in range(10):
            assert uploader.send(32) == [Failed] * 32
        assert (client.info("persistence")["aof_current_size"] - before) / 320 < 1700
