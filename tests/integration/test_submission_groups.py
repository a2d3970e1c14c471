"""Single submissions that come in together share a script call, and each gets its own answer."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from redis.exceptions import ResponseError

from shared.domain.errors import IdempotencyMismatch, QueueFull, RateLimited, StorageUnavailable
from shared.domain.identifiers import (
    ANYONE,
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
from shared.domain.key_limits import UNLIMITED, Limits
from shared.domain.model_route import Choice
from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.jobs import Jobs
from shared.queue.producer.submission import Hit, Known, Queued, Submission, bulk_lane
from shared.queue.producer.submission_groups import MOST_BYTES, MOST_IMAGES
from shared.settings import Queue, Redis
from tests.support.relay import Relay
from tests.support.servers import RedisServer
from tests.support.waiting import PATIENCE

T = TypeVar("T")
MODEL = ModelName("digits")
LANE = keys.lane(MODEL, keys.INTERACTIVE)
SETTINGS = Queue()


def image(content: bytes, *, owner: str = ANYONE, model: str = MODEL, lane: str = keys.INTERACTIVE, key: str = "",
          fingerprint: str = "") -> Submission:  # fmt: skip
    digest = Digest(hashlib.sha256(content).hexdigest())
    return Submission(
        id=PredictionId(new_uuid7()), owner=Owner(owner), image=content, metadata={}, base_url="", lane=lane,
        choice=Choice(model=ModelName(model), version=VersionNumber("1"), key=VersionKey("1-m"), variant="champion"),
        facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(content), filename=None),
        idempotency_key=key, fingerprint=fingerprint,
    )  # fmt: skip


async def send(jobs: Jobs, one: Submission, *, settings: Queue = SETTINGS, limits: Limits = UNLIMITED) -> Any:
    answer, _ = await jobs.submit(one, one.request(), settings=settings, memory_is_high=False, limits=limits)
    return answer


async def send_together(jobs: Jobs, *submissions: Submission, **more: Any) -> list[Any]:
    """Submit in one turn of the event loop; return what each was answered, or its error."""
    return await asyncio.gather(*(send(jobs, one, **more) for one in submissions), return_exceptions=True)


def run(url: str, claim: Callable[[Jobs], Awaitable[T]], *, timeout: timedelta = PATIENCE) -> T:
    """Run a claim with the gateway's jobs on a Redis that has the scripts."""

    async def connected() -> T:
        client = connect_async(Redis(url=url, timeout=timeout))
        pipeline = Pipeline(client, timeout=timeout)
        try:
            return await claim(Jobs(pipeline))
        finally:
            await pipeline.close()
            await client.aclose()

    return asyncio.run(connected())


def script_calls(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@pytest.fixture
def warm(redis_server: RedisServer, redis_client: redis.Redis) -> redis.Redis:
    """Redis, which has loaded the scripts and counts calls from now on."""
    run(redis_server.url, lambda jobs: send(jobs, image(b"the first")))
    redis_client.delete(LANE)
    redis_client.config_resetstat()
    return redis_client


def test_submissions_of_one_event_loop_turn_share_a_call(redis_server: RedisServer, warm: redis.Redis) -> None:
    first = image(b"a", key="k", fingerprint="f")
    same, other = image(b"a", key="k", fingerprint="f"), image(b"b", key="k", fingerprint="g")
    warm.set(keys.cache(ANYONE, MODEL, version=VersionKey("1-m"), digest=image(b"cached").facts.sha256), b"[1]")
    joined, cached, new = image(b"a"), image(b"cached"), image(b"new")

    answers = run(redis_server.url, lambda jobs: send_together(jobs, first, same, other, joined, cached, new))
    assert script_calls(warm) == 1
    assert answers[0] == Queued(answers[0].created)
    assert answers[1] == Known(first.id)
    assert isinstance(answers[2], IdempotencyMismatch)
    assert answers[2].first_id == first.id
    assert answers[3] == Queued(answers[3].created, joined=True)
    assert answers[4] == Hit(answers[4].created, b"[1]")
    assert answers[5] == Queued(answers[5].created)
    assert warm.xlen(LANE) == 2


def test_a_lone_submission_has_a_call_of_its_own(redis_server: RedisServer, warm: redis.Redis) -> None:
    async def one_by_one(jobs: Jobs) -> None:
        for number in range(3):
            assert isinstance(await send(jobs, image(b"%d" % number)), Queued)

    run(redis_server.url, one_by_one)
    assert script_calls(warm) == 3


def test_each_owner_lane_and_model_has_a_call_of_its_own(redis_server: RedisServer, warm: redis.Redis) -> None:
    kinds = [{}, {"owner": "b"}, {"model": "other"}, {"lane": bulk_lane(ANYONE)}]
    sent = [image(b"%d" % number, **kind) for number in range(5) for kind in kinds]
    answers = run(redis_server.url, lambda jobs: send_together(jobs, *sent))
    assert all(isinstance(answer, Queued) for answer in answers)
    assert script_calls(warm) == 4
    assert {one.id for one in sent if one.owner == "b"} == {
        id.decode() for id in warm.zrange(keys.inflight(Owner("b")), 0, -1)
    }


def test_the_images_and_bytes_of_a_call_are_limited(redis_server: RedisServer, warm: redis.Redis) -> None:
    many = [image(b"%d" % number) for number in range(2 * MOST_IMAGES + 1)]
    run(redis_server.url, lambda jobs: send_together(jobs, *many))
    assert script_calls(warm) == 3
    warm.config_resetstat()
    heavy = [image(b"%d" % number + bytes(MOST_BYTES // 3)) for number in range(4)]
    within = Queue(max_inline_image=MOST_BYTES)
    run(redis_server.url, lambda jobs: send_together(jobs, *heavy, settings=within))
    assert script_calls(warm) == 2
    assert warm.xlen(LANE) == len(many) + len(heavy)


def test_a_full_lane_refuses_only_submissions_without_room(redis_server: RedisServer, warm: redis.Redis) -> None:
    sent = [image(b"%d" % number) for number in range(5)]
    settings = Queue(max_lane_depth=3)
    answers = run(redis_server.url, lambda jobs: send_together(jobs, *sent, settings=settings))
    assert [type(answer) for answer in answers] == [Queued] * 3 + [QueueFull] * 2
    assert script_calls(warm) == 1


def test_submissions_over_the_rate_are_refused_each_with_its_own_error(
    redis_server: RedisServer, warm: redis.Redis
) -> None:
    limits = Limits(key=KeyId("k"), rate=3.0)
    sent = [image(b"%d" % number) for number in range(5)]
    answers = run(redis_server.url, lambda jobs: send_together(jobs, *sent, limits=limits))
    assert script_calls(warm) == 1
    assert [type(answer) for answer in answers] == [Queued] * 3 + [RateLimited] * 2
    assert answers[3] is not answers[4]


def test_submissions_with_different_limits_are_counted_separately(redis_server: RedisServer, warm: redis.Redis) -> None:
    async def claim(jobs: Jobs) -> list[Any]:
        old, new = Limits(key=KeyId("k"), max_inflight=1), Limits(key=KeyId("k"), max_inflight=9)
        sent = [send(jobs, image(b"%d" % number), limits=limits) for number, limits in enumerate([old, old, new, new])]
        return await asyncio.gather(*sent, return_exceptions=True)

    warm.delete(keys.inflight(ANYONE))
    answers = run(redis_server.url, claim)
    assert [type(answer) for answer in answers] == [Queued, RateLimited, Queued, Queued]


def test_an_error_caused_by_one_submission_fails_only_that_one(redis_server: RedisServer, warm: redis.Redis) -> None:
    sent = [image(b"%d" % number) for number in range(4)]
    spoiled = image(b"spoiled")
    list_key = keys.waiting(ANYONE, MODEL, lane=spoiled.lane, version=VersionKey("1-m"), digest=spoiled.facts.sha256)
    warm.set(list_key, "no list")
    answers = run(redis_server.url, lambda jobs: send_together(jobs, sent[0], spoiled, sent[1], sent[3]))
    assert isinstance(answers[1], ResponseError)
    # Those before it were accepted by the call that failed, and are found when they are sent again.
    assert answers[0] in (Known(sent[0].id), Queued(getattr(answers[0], "created", 0)))
    assert isinstance(answers[2], Queued)
    assert isinstance(answers[3], Queued)
    assert warm.xlen(LANE) == 3


def test_text_that_cannot_be_sent_fails_only_its_submission(redis_server: RedisServer, warm: redis.Redis) -> None:
    odd = image(b"odd", key="\ud800", fingerprint="f")
    answers = run(redis_server.url, lambda jobs: send_together(jobs, image(b"1"), odd, image(b"2")))
    assert [type(answer) for answer in answers] == [Queued, UnicodeEncodeError, Queued]
    assert warm.xlen(LANE) == 2


def test_a_canceled_caller_neither_loses_nor_duplicates_other_submissions(
    redis_server: RedisServer, warm: redis.Redis
) -> None:
    sent = [image(b"%d" % number) for number in range(40)]

    async def claim(jobs: Jobs) -> list[Any]:
        tasks = [asyncio.create_task(send(jobs, one)) for one in sent]
        for turns in range(4):  # before anything is written, while it is written, and before the answers
            for task in tasks[turns::8]:
                task.cancel()
            await asyncio.sleep(0)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await send(jobs, image(b"the last"))
        return answers

    answers = run(redis_server.url, claim)
    outcomes = Counter(type(answer).__name__ for answer in answers)
    assert outcomes["Queued"] >= 20
    assert outcomes["Queued"] + outcomes["CancelledError"] == 40
    ids = {id.decode() for id in warm.zrange(keys.inflight(ANYONE), 0, -1)}
    assert {one.id for one, answer in zip(sent, answers, strict=True) if isinstance(answer, Queued)} <= ids
    begun = {one.id for one in sent} & ids
    assert warm.xlen(LANE) == len(begun) + 1


def test_a_lost_reply_makes_no_second_job(
    redis_server: RedisServer, warm: redis.Redis, short_directory: Callable[[], Path]
) -> None:
    sent = [image(b"%d" % number) for number in range(10)]

    async def claim() -> list[Any]:
        relay = Relay(short_directory(), to=redis_server.url)
        async with relay:
            client = connect_async(Redis(url=relay.url))
            pipeline = Pipeline(client, timeout=PATIENCE)
            jobs = Jobs(pipeline)
            await send(jobs, image(b"connected"))
            relay.lose_answers = 1
            answers = await send_together(jobs, *sent)
            await pipeline.close()
            await client.aclose()
            return answers

    answers = asyncio.run(claim())
    assert answers == [Known(one.id) for one in sent]
    assert warm.xlen(LANE) == 11


def test_while_redis_is_down_each_submission_gets_an_error(short_directory: Callable[[], Path]) -> None:
    sent = [image(b"%d" % number) for number in range(3)]
    url = f"unix://{short_directory()}/nobody.sock"
    answers = run(url, lambda jobs: send_together(jobs, *sent), timeout=timedelta(seconds=0.5))
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
    assert len({id(answer) for answer in answers}) == 3
