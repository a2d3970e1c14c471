"""The registry as several workers read it: whatever two of them do at the same moment, one asks MLflow in a poll."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.settings import Registry
from tests.support.servers import RedisServer
from worker.models.registry import shared_registry
from worker.models.registry.registry_snapshot import RegistrySnapshot, Snapshots
from worker.models.registry.shared_registry import NotReadYet, SharedRegistry

FOUND = {ModelName("shades"): RegistrySnapshot()}
COMMANDS_OF_A_READ = 12
"""More than a read sends to Redis: what comes before the last few of these comes after it."""


class Interrupted(redis.Redis):
    """A client that calls a function once, before its command of this number."""

    interruption: tuple[int, Callable[[], object]] | None = None
    sent = 0

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        if self.interruption and self.sent == self.interruption[0]:
            (_, interrupt), self.interruption = self.interruption, None
            interrupt()
        self.sent += 1
        return super().execute_command(*arguments, **options)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each time that MLflow is asked; it knows one model."""
    asked: list[object] = []

    class Reader:
        def __init__(self, _: Registry) -> None:
            pass

        def read_models(self, names: object) -> Snapshots:
            asked.append(names)
            return dict(FOUND)

    monkeypatch.setattr(shared_registry, "RegistryReader", Reader)
    return asked


@pytest.mark.parametrize("place", range(COMMANDS_OF_A_READ))
def test_two_workers_ask_once_a_poll_wherever_one_reads_while_the_other_does(
    place: int, redis_server: RedisServer, redis_client: redis.Redis, asked: list[object]
) -> None:
    settings = Registry(url="http://127.0.0.1:1", poll=timedelta(hours=1))
    between = SharedRegistry(redis_client, settings=settings, names=None)

    def read() -> None:
        try:
            assert between.read() == FOUND
        except NotReadYet:
            assert not asked  # the other has its turn

    client = Interrupted.from_url(redis_server.url, protocol=2)
    client.interruption = (place, read)
    with client:
        assert SharedRegistry(client, settings=settings, names=None).read() == FOUND
    assert len(asked) == 1
    assert between.read() == FOUND
    assert not redis_client.keys("registry:*:asking")
