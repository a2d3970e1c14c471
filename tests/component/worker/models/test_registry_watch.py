"""What a worker says of the registry while it reads it for the first time."""

from datetime import timedelta

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.settings import Registry
from tests.support.waiting import until
from worker.models.registry import shared_registry
from worker.models.registry.registry_snapshot import RegistrySnapshot, Snapshots
from worker.models.registry.registry_watch import RegistryWatch

FOUND = {ModelName("shades"): RegistrySnapshot()}


def test_the_registry_was_read_once_its_models_are_followed_and_not_before(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then no model is waited for: the worker would say that it serves all while it has loaded none."""

    class Reader:
        def __init__(self, _: Registry) -> None:
            pass

        def read_models(self, _: object) -> Snapshots:
            return dict(FOUND)

    def follow(snapshots: Snapshots) -> None:
        assert snapshots == FOUND
        during.append(watch.was_read)
        if len(during) == 1:
            raise redis.ConnectionError("Redis is away while the models are chosen")

    monkeypatch.setattr(shared_registry, "RegistryReader", Reader)
    during: list[bool] = []
    settings = Registry(url="http://127.0.0.1:1", poll=timedelta(milliseconds=10))
    watch = RegistryWatch(None, client=redis_client, settings=settings, on_read=follow)
    watch.start()
    try:
        until(lambda: watch.was_read)
    finally:
        watch.stop()
    assert during[:2] == [False, False]


def test_why_the_registry_can_not_be_read_is_logged_once_where_no_model_is_followed_yet(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No follower says it then, and the worker would wait for ever without a word: for a login that is wrong, too."""
    asked: list[None] = []

    class Reader:
        def __init__(self, _: Registry) -> None:
            pass

        def read_models(self, _: object) -> Snapshots:
            asked.append(None)
            if len(asked) <= 3:
                raise ConnectionError("the registry asks for a login")
            return dict(FOUND)

    monkeypatch.setattr(shared_registry, "RegistryReader", Reader)
    settings = Registry(url="http://127.0.0.1:1", poll=timedelta(milliseconds=10))
    watch = RegistryWatch(None, client=redis_client, settings=settings, on_read=lambda _: None)
    watch.start()
    try:
        until(lambda: watch.was_read)
    finally:
        watch.stop()
    said = [record for record in caplog.records if record.getMessage() == "registry_unreachable"]
    assert [vars(record)["reason"] for record in said] == ["ConnectionError: the registry asks for a login"]
