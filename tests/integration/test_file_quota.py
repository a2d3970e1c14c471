"""How much uploaded files may take of Redis, those of one owner and all, as the scripts count it on a real Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.errors import FileQuota, StorageUnavailable, UploadTooLarge
from shared.domain.identifiers import Digest, FileId, Owner
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.lua import Scripts
from shared.queue.producer.file_quota import Quota, quota
from shared.queue.producer.files import Files as FileStore
from shared.queue.producer.files import StoredFile, new_file_id
from shared.queue.upkeep.expired_files import purge_expired, remove_file
from shared.queue.upkeep.owned import Owned
from shared.settings import Files, Redis
from tests.support.servers import RedisServer
from tests.support.waiting import PATIENCE

T = TypeVar("T")
ANN, BOB = Owner("ann"), Owner("bob")
HOUR = 3_600_000_000
ROOMY = Quota(max_files=1000, max_bytes=10**9, max_bytes_of_all=None, max_bytes_a_second=10**9)


def allowing(**limits: Any) -> Quota:
    values = {name: getattr(ROOMY, name) for name in Quota.__dataclass_fields__}
    return Quota(**(values | limits))


async def keep(pipeline: Pipeline, file: StoredFile, allowed: Quota) -> None:
    await FileStore(pipeline).keep(file, allowed, turn=asyncio.Lock())


def a_file(size: int = 1000, *, owner: Owner = ANN, life: int = HOUR) -> StoredFile:
    now = now_us()
    return StoredFile(
        id=new_file_id(created=now), owner=owner, name="a", content_type="image/png", etag="e", sha256=Digest("0" * 64),
        size=size, metadata={}, created=now, expires=now + life, content=b"x" * size,
    )  # fmt: skip


Run = Callable[[Callable[[Pipeline], Awaitable[object]]], object]


def counted(client: redis.Redis) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in client.hgetall(keys.FILE_BYTES).items()}  # type: ignore[union-attr]


def counted_bytes(client: redis.Redis, owner: Owner) -> int:
    """Return the bytes counted for each file of an owner."""
    ids = client.zrange(keys.files_of(owner), 0, -1)
    return sum(int(client.hget(keys.file(FileId(id.decode())), "counted") or 0) for id in ids)  # type: ignore[union-attr,arg-type]


async def refusal(pipeline: Pipeline, file: StoredFile, allowed: Quota) -> FileQuota:
    with pytest.raises(FileQuota) as raised:
        await keep(pipeline, file, allowed)
    with pytest.raises(FileQuota) as early:
        await FileStore(pipeline).check_quota(file.owner, file.size, allowed)
    assert early.value.limit == raised.value.limit, "it is known before the body is read"
    return raised.value


def test_an_owners_number_of_files_is_limited(piped: Run, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        allowed, first = allowing(max_files=2), a_file(life=HOUR)
        await keep(pipeline, first, allowed)
        await keep(pipeline, a_file(life=3 * HOUR), allowed)
        error = await refusal(pipeline, a_file(), allowed)
        assert (error.limit, error.used, error.allowed) == ("files", 2, 2)
        assert timedelta(minutes=59) < error.retry_after <= timedelta(hours=1), "when the oldest goes by itself"
        await keep(pipeline, a_file(owner=BOB), allowed)
        await FileStore(pipeline).delete(ANN, first.id)
        await keep(pipeline, a_file(), allowed)

    piped(claim)
    assert redis_client.zcard(keys.files_of(ANN)) == 2


def test_an_owners_bytes_are_limited_and_the_same_content_counts_twice(piped: Run, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        allowed = allowing(max_bytes=2500)
        for _ in range(2):
            await keep(pipeline, a_file(1000), allowed)
        error = await refusal(pipeline, a_file(1000), allowed)
        assert error.limit == "bytes"
        assert error.used == counted(redis_client)["ann"] > 2000
        with pytest.raises(UploadTooLarge):
            await keep(pipeline, a_file(3000), allowed)
        await keep(pipeline, a_file(1000, owner=BOB), allowed)

    piped(claim)
    assert counted(redis_client)[""] == counted_bytes(redis_client, ANN) + counted_bytes(redis_client, BOB)


def test_all_files_together_have_a_share_and_one_owner_half_of_it(piped: Run) -> None:
    allowed = quota(Files(memory_share=0.1), memory=100_000)
    assert (allowed.max_bytes, allowed.max_bytes_of_all) == (5000, 10_000)
    assert quota(Files(max_bytes=7), memory=100_000).max_bytes == 7
    assert quota(Files(), memory=0).max_bytes_of_all is None

    async def claim(pipeline: Pipeline) -> None:
        for _ in range(4):
            await keep(pipeline, a_file(1000), allowed)
        await refusal(pipeline, a_file(1000), allowed)
        for _ in range(4):
            await keep(pipeline, a_file(1000, owner=BOB), allowed)
        with pytest.raises(StorageUnavailable, match="no room for more files"):
            await keep(pipeline, a_file(1500, owner=Owner("third")), allowed)
        await keep(pipeline, a_file(500, owner=Owner("third")), allowed)

    piped(claim)


def test_bytes_are_limited_by_rate_with_a_burst_of_ten_seconds(piped: Run, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        allowed, sizes = allowing(max_bytes_a_second=1000), [4000, 4000, 4000]
        for size in sizes:
            await keep(pipeline, a_file(size), allowed)
        error = await refusal(pipeline, a_file(1), allowed)
        assert error.limit == "bytes_a_second"
        assert timedelta(0) < error.retry_after <= timedelta(seconds=3)
        await keep(pipeline, a_file(5000, owner=BOB), allowed)
        # Deleting a file does not free its part of the rate.
        for id in redis_client.zrange(keys.files_of(ANN), 0, -1):  # type: ignore[union-attr]
            await FileStore(pipeline).delete(ANN, id.decode())
        assert (await refusal(pipeline, a_file(1), allowed)).limit == "bytes_a_second"

    piped(claim)


def test_refused_files_and_dry_checks_leave_nothing(piped: Run, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        for allowed in (allowing(max_files=0), allowing(max_bytes=10), allowing(max_bytes_of_all=10)):
            with pytest.raises((FileQuota, UploadTooLarge, StorageUnavailable)):
                await keep(pipeline, a_file(), allowed)
        await FileStore(pipeline).check_quota(ANN, 1000, ROOMY)

    piped(claim)
    assert redis_client.keys() == []


def test_a_file_is_counted_once_and_released_once(piped: Run, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        file, other = a_file(), a_file(life=-1)
        for one in (file, file, other, other):
            await keep(pipeline, one, ROOMY)
        assert (await FileStore(pipeline).content(ANN, file.id)).content == file.content
        assert counted(redis_client)[""] == counted_bytes(redis_client, ANN)
        assert purge_expired(redis_client, now_us(), 10) == 1
        for _ in range(2):
            remove_file(Scripts(redis_client), ANN, other.id)
        assert counted(redis_client) == {"": counted_bytes(redis_client, ANN), "ann": counted_bytes(redis_client, ANN)}
        assert sum(Owned(redis_client, ANN).delete_all()) >= 1

    piped(claim)
    assert redis_client.exists(keys.FILE_BYTES, keys.FILES, keys.files_of(ANN)) == 0


def test_a_file_stored_before_counting_is_deleted_without_a_trace(piped: Run, redis_client: redis.Redis) -> None:
    file = a_file()

    async def claim(pipeline: Pipeline) -> None:
        await keep(pipeline, file, ROOMY)
        redis_client.hdel(keys.file(file.id), "counted")
        redis_client.delete(keys.FILE_BYTES)
        await keep(pipeline, a_file(10), ROOMY)
        await FileStore(pipeline).delete(ANN, file.id)

    piped(claim)
    assert counted(redis_client)[""] == counted_bytes(redis_client, ANN) > 0


@given(steps=st.lists(st.tuples(st.sampled_from(["keep", "again", "remove", "purge"]), st.integers(0, 3)), max_size=25))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sums_match_the_files_after_any_sequence_of_actions(
    redis_server: RedisServer, redis_client: redis.Redis, steps: list[tuple[str, int]]
) -> None:
    redis_client.flushall()
    made: list[StoredFile] = []

    async def play() -> None:
        client = connect_async(Redis(url=redis_server.url))
        pipeline = Pipeline(client, timeout=PATIENCE)
        allowed = allowing(max_files=3, max_bytes=5000, max_bytes_of_all=7000)
        for what, number in steps:
            if what == "keep" or not made:
                made.append(a_file(number * 900, owner=(ANN, BOB)[number % 2], life=(HOUR, -1)[number // 2]))
            file = made[number % len(made)] if what != "keep" else made[-1]
            try:
                if what in ("keep", "again"):
                    await keep(pipeline, file, allowed)
                elif what == "remove":
                    remove_file(Scripts(redis_client), file.owner, file.id)
                else:
                    purge_expired(redis_client, now_us(), number)
            except (FileQuota, StorageUnavailable):
                pass
            sums = counted(redis_client)
            each = [counted_bytes(redis_client, owner) for owner in (ANN, BOB)]
            assert [sums.get(owner, 0) for owner in (ANN, BOB)] == each
            assert sums.get("", 0) == sum(each) <= 7000
            assert max(each) <= 5000
        await pipeline.close()
        await client.aclose()

    asyncio.run(play())
