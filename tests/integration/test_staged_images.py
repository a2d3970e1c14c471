"""Images above a size are kept beside their entries: none is lost, and none outlives its entry.

Over 300 lines: each way an entry can end, and each line a process can be killed at, is a test with the same helpers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import redis

from shared.domain.errors import QueueFull, RateLimited
from shared.domain.identifiers import ANYONE, BatchId, KeyId
from shared.domain.key_limits import UNLIMITED, Limits
from shared.queue import bells, keys
from shared.queue.connection.exchange import LARGE
from shared.queue.connection.pipeline import Pipeline
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, Scripts, source
from shared.queue.producer.batches import Batches, Opening
from shared.queue.producer.jobs import Jobs
from shared.queue.producer.staged_images import STAGED_FOR, stage_command
from shared.queue.producer.submission import (
    Hit,
    Known,
    Queued,
    Submission,
    bulk_lane,
    prepared,
    read_answer,
    submit_command,
)
from shared.queue.upkeep.owned import Owned
from shared.settings import Queue
from tests.integration.test_limits import submission
from tests.support.leases import end_leases
from tests.support.queue_system import LANE, MODEL, OUTPUT, System, jobs
from tests.support.servers import RedisServer
from tests.support.waiting import until

T = TypeVar("T")
Piped = Callable[[Callable[[Pipeline], Awaitable[T]]], T]
BIG = 50_000
RUN = b"{}"


def big(letter: str = "a", size: int = BIG, **more: Any) -> Submission:
    return submission(letter.encode() * size, **more)


async def send(jobs: Jobs, one: Submission, **more: Any) -> Any:
    options = {"settings": Queue(), "memory_is_high": False, "limits": UNLIMITED} | more
    answer, _ = await jobs.submit(one, one.request(), **options)
    return answer


def put(client: redis.Redis, *submissions: Submission) -> None:
    """Stage and submit, without a gateway."""
    client.script_load(source(Script.SUBMIT))
    for one in submissions:
        client.execute_command(*stage_command(one))
        client.execute_command(*submit_command(prepared(one), settings=Queue(), memory_is_high=False))


def kept(client: redis.Redis) -> list[str]:
    """Return what there is of staged and kept images, and of their count."""
    return sorted(key.decode() for key in client.keys("*") if key.startswith((b"staged:", b"image")))


@pytest.mark.parametrize("size", [8 * 1024 + 1, BIG, LARGE + 1, 2_000_000])
def test_a_worker_gets_the_bytes_and_nothing_stays(piped: Piped[Any], redis_client: redis.Redis, size: int) -> None:
    one = big(size=size)
    assert isinstance(piped(lambda pipeline: send(Jobs(pipeline), one)), Queued)
    [(entry, fields)] = redis_client.xrange(LANE)
    image = keys.image(LANE, entry.decode())
    assert b"image" not in fields
    assert kept(redis_client) == [image, "image_bytes"]
    assert redis_client.ttl(image) == -1
    assert redis_client.hgetall(keys.IMAGE_BYTES) == {LANE.encode(): b"%d" % size}
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue())
    [found] = lanes.begin(lanes.pull(64).entries)
    assert found.image == one.image
    assert lanes.finish([Result(found, "succeeded", OUTPUT)], run=RUN) == 1
    assert kept(redis_client) == []


def test_a_small_image_is_in_its_entry(piped: Piped[Any], redis_client: redis.Redis) -> None:
    piped(lambda pipeline: send(Jobs(pipeline), big(size=8 * 1024)))
    assert kept(redis_client) == []
    assert len(redis_client.xrange(LANE)[0][1][b"image"]) == 8 * 1024


def test_entries_with_and_without_their_image_are_pulled_together(piped: Piped[Any], redis_client: redis.Redis) -> None:
    """As after an upgrade: a release before put every image into its entry."""
    sent = [submission(b"1" * 20_000), submission(b"2" * 20_000), submission(b"3"), submission(b"4" * 30_000)]
    settings = [Queue(max_inline_image=2**20), Queue(), Queue(), Queue()]

    async def claim(pipeline: Pipeline) -> None:
        for one, queue in zip(sent, settings, strict=True):
            await send(Jobs(pipeline), one, settings=queue)

    piped(claim)
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue())
    assert [entry.image for entry in lanes.pull(64).entries] == [one.image for one in sent]


def test_an_image_that_is_not_needed_is_not_kept(piped: Piped[Any], redis_client: redis.Redis) -> None:
    first = replace(big(), idempotency_key="k", fingerprint="f")
    same_key = replace(big(), idempotency_key="k", fingerprint="f")
    cached = big("c")
    redis_client.set(keys.cache(ANYONE, MODEL, version=cached.choice.key, digest=cached.facts.sha256), b"[1]")
    full, fast = Queue(max_lane_depth=1), Limits(key=KeyId("k"), rate=1e-6)

    async def claim(pipeline: Pipeline) -> list[Any]:
        answers = []
        for one, options in (
            (first, {}), (first, {}), (same_key, {}), (big(), {}), (cached, {}),
            (big("d"), {"settings": full}), (big("e"), {"memory_is_high": True}),
            (big("f"), {"limits": fast}), (big("g"), {"limits": fast}),
        ):  # fmt: skip
            # Each from a gateway that has not learned yet that the images are not needed.
            answers += await asyncio.gather(send(Jobs(pipeline), one, **options), return_exceptions=True)
        return answers

    answers = piped(claim)
    kinds = [type(answer) for answer in answers]
    assert kinds == [Queued, Known, Known, Queued, Hit, QueueFull, QueueFull, Queued, RateLimited]
    assert len([key for key in kept(redis_client) if key.startswith("image:")]) == 2
    assert not [key for key in kept(redis_client) if key.startswith("staged:")]


def test_where_images_are_not_needed_the_next_is_staged_only_if_it_is_asked_for(
    piped: Piped[Any], redis_client: redis.Redis
) -> None:
    full, room = Queue(max_lane_depth=1), Queue()

    def staged() -> int:
        return int(redis_client.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"])

    async def claim(pipeline: Pipeline) -> None:
        jobs = Jobs(pipeline)
        await send(jobs, big("a"))
        with pytest.raises(QueueFull):
            await send(jobs, big("b"), settings=full)
        redis_client.config_resetstat()
        for letter in "cde":
            with pytest.raises(QueueFull):
                await send(jobs, big(letter), settings=full)
        assert staged() == 0
        assert isinstance(await send(jobs, big("f"), settings=room), Queued)
        assert isinstance(await send(jobs, big("g"), settings=room), Queued)

    piped(claim)
    assert redis_client.xlen(LANE) == 3
    assert redis_client.hgetall(keys.IMAGE_BYTES) == {LANE.encode(): b"%d" % (3 * BIG)}


def test_a_submission_without_its_staged_image_writes_nothing(redis_client: redis.Redis) -> None:
    redis_client.script_load(source(Script.SUBMIT))
    one = big()
    command = submit_command(prepared(one), settings=Queue(), memory_is_high=False)
    reply, _ = redis_client.execute_command(*command)
    assert reply[0] == b"unset"
    with pytest.raises(QueueFull):
        read_answer(reply, one)
    assert redis_client.keys("*") == []


def test_sending_both_again_changes_nothing(redis_client: redis.Redis) -> None:
    """As a gateway does that lost the answers: the image that waits must not begin to expire."""
    one = big()
    put(redis_client, one, one)
    [(entry, _)] = redis_client.xrange(LANE)
    assert kept(redis_client) == [keys.image(LANE, entry.decode()), "image_bytes"]
    assert redis_client.ttl(keys.image(LANE, entry.decode())) == -1
    redis_client.execute_command(*stage_command(one))  # and is killed before the submission
    assert 0 < redis_client.pttl(keys.staged_image(one.id)) <= STAGED_FOR // timedelta(milliseconds=1)
    assert redis_client.ttl(keys.image(LANE, entry.decode())) == -1


def test_every_way_to_delete_an_entry_deletes_its_image(system: System) -> None:
    client = system.client
    scripts = Scripts(client)

    def canceled() -> None:
        one = big("a")
        put(client, one)
        system.cancel(one.id)

    def too_late() -> None:
        put(client, replace(big("b"), cancel_after=timedelta(microseconds=1)))
        assert system.lanes.begin(system.lanes.pull(64).entries) == []

    def canceled_with_its_batch() -> None:
        lane = bulk_lane("b1")
        batch = keys.batch(BatchId("b1"))
        client.hset(batch, mapping={"state": "validating", "owner": ANYONE, "request": "{}", "created": 1, "total": 0})
        put(client, replace(big("c"), lane=lane, batch="b1"), replace(big("d"), lane=lane, batch="b1"))
        told = bells.record_message()
        scripts.run(Script.CANCEL_BATCH, (batch,), "b1", "user", 0, told)
        assert scripts.run(Script.CANCEL_LANE, (keys.lane(MODEL, lane),), "b1", told, 10, 10**6) == 0

    def given_up() -> None:
        put(client, big("e"))
        arguments = (bells.record_message(), "nobody", 0, 1, 1000, 100, 10**6, 1000, 0)
        names = (LANE, keys.workers(MODEL), keys.unserved(MODEL))
        assert scripts.run(Script.GIVE_UP, names, *arguments)[1] == 1

    def forgotten() -> None:
        one = big("f")
        put(client, one)
        assert scripts.run(Script.FORGET, (), one.id) == 1

    def purged() -> None:
        put(client, big("g"))
        assert sum(Owned(client, ANYONE).cancel_all()) == 1

    for way in (canceled, too_late, canceled_with_its_batch, given_up, forgotten, purged):
        way()
        assert kept(client) == [], way
    while system.recorder.run_once():
        pass
    assert system.audit() == []


def test_an_entry_that_is_deleted_while_it_is_pulled_is_left_out(redis_client: redis.Redis, system: System) -> None:
    one, other = big("a"), big("b")
    put(redis_client, one, other)

    class Cancels(redis.Redis):
        def mget(self, *arguments: Any, **options: Any) -> Any:
            system.cancel(one.id)
            return super().mget(*arguments, **options)

    client = Cancels(connection_pool=redis_client.connection_pool)
    lanes = Lanes(client, model=MODEL, consumer="w", settings=Queue())
    assert [entry.image for entry in lanes.pull(64).entries] == [other.image]


def test_a_suspect_has_its_image(redis_client: redis.Redis, system: System, other: Lanes) -> None:
    one = big()
    put(redis_client, one)
    system.lanes.pull(64)
    end_leases(redis_client)
    suspect = other.reclaim()
    assert suspect is not None
    assert suspect.image == one.image
    assert suspect.attempts == 2


def test_a_job_whose_image_somebody_deleted_fails(redis_client: redis.Redis, system: System, other: Lanes) -> None:
    one = big()
    put(redis_client, one)
    redis_client.delete(*redis_client.keys("image:*"))
    assert system.lanes.pull(64).entries == []
    while redis_client.xlen(LANE):
        end_leases(redis_client)
        assert other.reclaim() is None
    assert jobs(redis_client, [one.id], "state", "code", "error") == [
        ("failed", "worker_lost", "the image is no longer in Redis")
    ]
    assert kept(redis_client) == []


def test_images_beside_a_lane_count_to_its_bytes(piped: Piped[Any], redis_client: redis.Redis) -> None:
    settings = Queue(max_lane_bytes=2 * BIG)

    async def claim(pipeline: Pipeline) -> list[Any]:
        jobs = Jobs(pipeline)
        return await asyncio.gather(
            *(send(jobs, big(letter), settings=settings) for letter in "abcd"), return_exceptions=True
        )

    assert [type(answer) for answer in piped(claim)] == [Queued, Queued, QueueFull, QueueFull]
    [[entries, measured, _]] = Scripts(redis_client).run(Script.MEASURE_LANES, (LANE,))
    assert entries == 2
    assert 2 * BIG < measured < 2 * BIG + 10_000


def test_an_uploads_images_are_staged_too(piped: Piped[Any], redis_client: redis.Redis) -> None:
    opening = Opening(id=BatchId("b1"), owner=ANYONE, model=MODEL, metadata={}, base_url="")
    items = [replace(big(letter), lane=bulk_lane("b1"), batch="b1") for letter in "abc"]

    async def claim(pipeline: Pipeline) -> Any:
        batches = Batches(pipeline)
        await batches.open(opening)
        return await batches.submit(
            [prepared(one) for one in items], settings=Queue(), memory_is_high=False, limits=UNLIMITED
        )

    assert [reply[0] for reply in piped(claim)] == [b"queued"] * 3
    assert redis_client.hgetall(keys.IMAGE_BYTES) == {opening.lane.encode(): b"%d" % (3 * BIG)}
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue())
    assert [entry.image for entry in lanes.pull(64).entries] == [one.image for one in items]


def test_where_the_memory_is_full_it_is_refused_and_nothing_stays(piped: Piped[Any], redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await send(Jobs(pipeline), big("a"))
        redis_client.config_set("maxmemory", 1)
        for letter in "bc":
            with pytest.raises(QueueFull):
                await send(Jobs(pipeline), big(letter))
        with pytest.raises(QueueFull):
            await send(Jobs(pipeline), big("d", size=LARGE + 1))

    piped(claim)
    redis_client.config_set("maxmemory", 0)
    assert redis_client.xlen(LANE) == 1
    assert len(kept(redis_client)) == 2


def test_a_staged_image_may_be_evicted_before_its_submission_comes(
    piped: Piped[Any], redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    evictions = iter((True, False))

    async def claim(pipeline: Pipeline) -> Any:
        jobs = Jobs(pipeline)
        submit = jobs._groups.submit

        async def after_an_eviction(*arguments: Any, **options: Any) -> Any:
            if next(evictions):
                for _ in range(100):
                    await asyncio.sleep(0.01)
                    if redis_client.delete(*redis_client.keys("staged:*") or ["none"]):
                        break
            return await submit(*arguments, **options)

        monkeypatch.setattr(jobs._groups, "submit", after_an_eviction)
        return await send(jobs, big())

    assert isinstance(piped(claim), Queued)
    assert len(kept(redis_client)) == 2


def test_what_was_accepted_has_its_image_after_a_power_cut_and_a_rewrite(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis(appendfsync="always")
    sent = [big(letter) for letter in "abcdef"]
    with server.client() as client:
        put(client, *sent[:3])
        client.execute_command(*stage_command(sent[5]))
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the file is rewritten")
        put(client, *sent[3:5])
    server.kill()
    server.start()
    with server.client() as client:
        lanes = Lanes(client, model=MODEL, consumer="w", settings=Queue())
        assert [entry.image for entry in lanes.pull(64).entries] == [one.image for one in sent[:5]]
        assert client.hget(keys.IMAGE_BYTES, LANE) == b"%d" % (5 * BIG)
        assert 0 < client.ttl(keys.staged_image(sent[5].id)) <= STAGED_FOR.total_seconds()
        submit = submit_command(prepared(sent[5]), settings=Queue(), memory_is_high=False)
        client.script_load(source(Script.SUBMIT))
        assert client.execute_command(*submit)[0][0] == b"queued"


def test_an_image_that_expired_in_the_file_but_was_taken_over_is_there_after_a_restart(
    start_redis: Callable[..., RedisServer],
) -> None:
    """The file says when a staged image expires; what made it permanent stands behind that."""
    server = start_redis(appendfsync="always")
    one = big()
    with server.client() as client:
        client.script_load(source(Script.SUBMIT))
        client.set(keys.staged_image(one.id), one.image, px=300)
        client.execute_command(*submit_command(prepared(one), settings=Queue(), memory_is_high=False))
        enqueued = int(client.xrange(LANE)[0][0].partition(b"-")[0])
        until(lambda: client.time()[0] * 1000 >= enqueued + 1500, what="it would have expired")
    server.kill()
    server.start()
    with server.client() as client:
        [entry] = Lanes(client, model=MODEL, consumer="w", settings=Queue()).pull(64).entries
        assert entry.image == one.image
