"""API keys in memory: found at once, read only when changed, kept while Postgres is away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Engine, event

from api.state.api_keys import ApiKeys
from api.state.open_requests import OpenRequests
from shared.domain.api_keys import Role
from shared.domain.errors import StorageUnavailable
from shared.domain.identifiers import Owner
from shared.domain.key_limits import Limits
from shared.settings import Database
from shared.storage import api_keys
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from tests.support.servers import PostgresServer
from tests.support.waiting import until_async as until

T = TypeVar("T")
NEVER = timedelta(hours=1)


def made(engine: Engine, name: str = "ann", **options: object) -> str:
    with engine.connect() as connection:
        return api_keys.create_key(connection, Owner(name), **{"role": Role.SUBMIT} | options)[1]  # type: ignore[arg-type]


def with_keyring(engine: Engine, claim: Callable[[ApiKeys], Awaitable[T]], *, pause: timedelta = NEVER) -> T:
    async def within() -> T:
        keyring = ApiKeys(engine, pause=pause, open_requests=OpenRequests())
        try:
            return await claim(keyring)
        finally:
            await keyring.close()

    return asyncio.run(within())


def test_a_key_has_its_owner_role_and_limits(engine: Engine) -> None:
    key = made(engine, role=Role.READ, rate=2.5, max_inflight=7)
    with engine.connect() as connection:
        [known] = api_keys.list_keys(connection)

    async def claim(keyring: ApiKeys) -> None:
        caller = await keyring.find(key)
        assert caller is not None
        assert (caller.owner, caller.role) == ("ann", Role.READ)
        assert caller.limits == Limits(key=known.id, rate=2.5, max_inflight=7)
        assert keyring.known(key) == caller

    with_keyring(engine, claim)


def test_a_new_key_is_found_at_once_and_a_revoked_one_gone_at_the_next_check(engine: Engine) -> None:
    async def claim(keyring: ApiKeys) -> None:
        assert await keyring.find("dk_none") is None
        key = made(engine)
        assert await keyring.find(key)
        with engine.connect() as connection:
            assert [revoked.owner for revoked in api_keys.revoke_keys(connection, key)] == ["ann"]
        await until(lambda: keyring.known(key) is None)
        assert await keyring.find(key) is None

    with_keyring(engine, claim, pause=timedelta(milliseconds=20))


def test_many_unknown_keys_cause_few_reads(engine: Engine) -> None:
    reads: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *facts: reads.append(facts[2]))

    async def claim(keyring: ApiKeys) -> None:
        assert set(await asyncio.gather(*(keyring.find(f"dk_{number}") for number in range(500)))) == {None}

    with_keyring(engine, claim)
    assert 0 < len(reads) <= 10


def test_all_keys_are_read_again_only_when_one_has_changed(engine: Engine) -> None:
    made(engine)
    reads: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *facts: reads.append(facts[2]))

    def whole() -> int:
        return sum(read.startswith("SELECT") and "hash" in read for read in reads)

    async def claim(_: ApiKeys) -> None:
        await until(lambda: len(reads) > 8)
        assert whole() == 1
        made(engine, "bob")
        await until(lambda: whole() == 2)

    with_keyring(engine, claim, pause=timedelta(milliseconds=10))


def test_while_postgres_is_down_known_keys_work_and_others_cannot_be_checked(
    start_postgres: Callable[[], PostgresServer],
) -> None:
    server = start_postgres()
    upgrade(server.url)
    engine = make_engine(Database(url=server.url))
    key = made(engine)

    async def claim(keyring: ApiKeys) -> None:
        assert await keyring.find(key)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.3)
        with pytest.raises(StorageUnavailable):
            await keyring.find("dk_none")
        assert keyring.known(key)
        assert await keyring.find(key)

    with_keyring(engine, claim, pause=timedelta(milliseconds=50))
    engine.dispose()
