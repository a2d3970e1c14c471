"""Signing secrets: one for each owner, made once, and several for a while after a rotation."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine

from shared.domain.identifiers import ANYONE, Owner
from shared.storage.webhook_secrets import MOST, rotate_secret, signing_secrets

DAY = timedelta(days=1)


def test_concurrent_first_reads_all_get_the_same_secret(engine: Engine) -> None:
    def ask(_: int) -> list[str]:
        with engine.connect() as connection:
            return signing_secrets(connection, ANYONE, overlap=DAY)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all(answer == answers[0] for answer in answers)
    [key] = answers[0]
    assert key.startswith("whsec_")
    assert len(base64.b64decode(key.removeprefix("whsec_"), validate=True)) == 32


def test_old_secrets_still_sign_for_a_while_after_a_rotation(engine: Engine) -> None:
    with engine.connect() as connection:
        [first] = signing_secrets(connection, ANYONE, overlap=DAY)
        second = rotate_secret(connection, ANYONE, overlap=DAY)
        assert second != first
        assert signing_secrets(connection, ANYONE, overlap=DAY) == [second, first]
        assert signing_secrets(connection, ANYONE, overlap=timedelta(0)) == [second]
        assert first not in signing_secrets(connection, Owner("b"), overlap=DAY)
        third = rotate_secret(connection, ANYONE, overlap=DAY)
        assert signing_secrets(connection, ANYONE, overlap=DAY) == [third, second, first], (
            "who rotates twice loses nobody"
        )
        for _ in range(9):
            rotate_secret(connection, ANYONE, overlap=DAY)
        assert len(signing_secrets(connection, ANYONE, overlap=DAY)) == MOST
        last = rotate_secret(connection, ANYONE, overlap=timedelta(0))
        assert signing_secrets(connection, ANYONE, overlap=DAY)[0] == last
        assert len(signing_secrets(connection, ANYONE, overlap=DAY)) == 2, "those whose time is over are forgotten"


def test_concurrent_rotations_all_succeed_and_one_is_current(engine: Engine) -> None:
    def work(_: int) -> str:
        with engine.connect() as connection:
            return rotate_secret(connection, ANYONE, overlap=DAY)

    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(work, range(4)))
    with engine.connect() as connection:
        assert set(signing_secrets(connection, ANYONE, overlap=DAY)) == keys
