"""One secret an owner, made once, and two while it changes."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine

from shared.domain.identifiers import ANYONE, Owner
from shared.storage.webhook_secrets import read, rotate

DAY = timedelta(days=1)


def test_whoever_comes_first_makes_the_secret_and_all_get_the_same(engine: Engine) -> None:
    def ask(_: int) -> list[str]:
        with engine.connect() as connection:
            return read(connection, ANYONE, overlap=DAY)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all(answer == answers[0] for answer in answers)
    [key] = answers[0]
    assert key.startswith("whsec_")
    assert len(base64.b64decode(key.removeprefix("whsec_"), validate=True)) == 32


def test_a_rotation_leaves_the_old_one_for_a_while(engine: Engine) -> None:
    with engine.connect() as connection:
        [first] = read(connection, ANYONE, overlap=DAY)
        second = rotate(connection, ANYONE)
        assert second != first
        assert read(connection, ANYONE, overlap=DAY) == [second, first]
        assert read(connection, ANYONE, overlap=timedelta(0)) == [second]
        assert first not in read(connection, Owner("b"), overlap=DAY)
        third = rotate(connection, ANYONE)
        assert read(connection, ANYONE, overlap=DAY) == [third, second]
