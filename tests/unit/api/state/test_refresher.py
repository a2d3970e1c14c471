"""A copy of stored data is read again soon for callers that miss something, and seldom enough for the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from api.state.refresher import Refresher
from tests.support.waiting import LIMIT, until_async

NEVER = timedelta(hours=1)


class Store:
    """Something that is read slowly; `copies` are what each read found when it began."""

    def __init__(self) -> None:
        self.value = 0
        self.copies: list[int] = []
        self.in_progress = 0
        self.begun = 0
        self.broken = False
        self.has_been_read = asyncio.Event()

    async def read(self) -> None:
        assert not self.in_progress
        self.in_progress += 1
        self.begun += 1
        found = self.value
        await asyncio.sleep(0.02)
        self.in_progress -= 1
        if self.broken:
            raise ValueError("unreadable")
        self.copies.append(found)
        self.has_been_read.set()


@pytest.fixture
def store() -> Store:
    return Store()


def with_refresher(store: Store, claim: Callable[[Refresher], Awaitable[None]], *, pause: timedelta = NEVER) -> None:
    async def within() -> None:
        refresher = Refresher(store.read, pause=pause, stale="refresh_failed")
        try:
            async with asyncio.timeout(LIMIT):
                await claim(refresher)
        finally:
            await refresher.close()

    asyncio.run(within())


def test_a_caller_never_gets_data_older_than_its_call(store: Store) -> None:
    async def ask(refresher: Refresher) -> None:
        store.value += 1
        asked = store.value
        await refresher.once_more()
        assert store.copies[-1] >= asked

    async def claim(refresher: Refresher) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(ask(refresher))
                await asyncio.sleep(0.005)

    with_refresher(store, claim)


def test_many_calls_share_few_reads(store: Store) -> None:
    async def claim(refresher: Refresher) -> None:
        await asyncio.gather(*(refresher.once_more() for _ in range(500)))

    with_refresher(store, claim)
    assert 0 < len(store.copies) <= 3


def test_a_canceled_caller_does_not_cancel_the_read_of_others(store: Store) -> None:
    async def claim(refresher: Refresher) -> None:
        first, second = (asyncio.create_task(refresher.once_more()) for _ in range(2))
        await store.has_been_read.wait()  # by itself; now the first waits for its turn
        store.value += 1
        first.cancel()
        await second
        assert store.copies == [0, 1]

    with_refresher(store, claim)


def test_a_read_that_was_canceled_with_its_caller_counts_for_nobody(store: Store) -> None:
    async def claim(refresher: Refresher) -> None:
        await refresher.first_read()
        first, second = (asyncio.create_task(refresher.once_more()) for _ in range(2))
        await until_async(lambda: store.in_progress, pause=0.001)
        store.in_progress, store.value = 0, 1  # the read of the first ends here
        first.cancel()
        await second
        assert store.copies == [0, 1]

    with_refresher(store, claim)


def test_the_first_read_is_waited_for_even_where_it_fails(store: Store) -> None:
    async def claim(refresher: Refresher) -> None:
        await refresher.first_read()
        assert store.copies == ([] if store.broken else [0])

    with_refresher(store, claim)
    store.broken, store.copies = True, []
    with_refresher(store, claim)


def test_a_failed_read_is_raised_to_all_callers_and_retried(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.broken = True

    async def claim(refresher: Refresher) -> None:
        await asyncio.sleep(0)  # it begins by itself
        answers = await asyncio.gather(*(refresher.once_more() for _ in range(3)), return_exceptions=True)
        assert {repr(answer) for answer in answers} == {"ValueError('unreadable')"}
        store.broken = False
        await store.has_been_read.wait()

    with caplog.at_level(logging.WARNING):
        with_refresher(store, claim, pause=timedelta(milliseconds=200))
    assert [record.message for record in caplog.records] == ["refresh_failed"]


def test_callers_that_come_during_a_read_that_fails_wait_for_no_other(store: Store) -> None:
    """A read of a store that does not answer takes as long as a request may: two would take twice that."""
    store.broken = True

    async def claim(refresher: Refresher) -> None:
        await until_async(lambda: store.in_progress, pause=0.001)
        answers = await asyncio.gather(*(refresher.once_more() for _ in range(3)), return_exceptions=True)
        assert [repr(answer) for answer in answers] == ["ValueError('unreadable')"] * 3
        assert store.begun == 1
        store.broken = False
        await refresher.once_more()
        assert store.begun == 2

    with_refresher(store, claim)
