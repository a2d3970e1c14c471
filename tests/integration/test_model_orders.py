"""Orders to change what serves, carried out by workers on a real MLflow registry and Redis; killed between writes."""

import json
from datetime import timedelta
from typing import Any

import pytest
import redis

from shared.domain.canary import CANARY_TAG, Canary, Phase
from shared.domain.identifiers import ANYONE, ModelName, VersionNumber
from shared.domain.model_orders import new_order
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.model_turns import ModelTurns, TurnLost
from shared.queue.server_clock import server_time
from shared.registry.registry_writer import RegistryWriter
from shared.settings import Registry
from tests.support.dying_writer import Killed
from tests.support.order_stage import OrderStage
from tests.support.registries import MODEL
from worker.models.following.order_taker import OrderTaker
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_reader import RegistryReader

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it


def test_a_promotion_is_carried_out_and_answered_and_may_be_repeated(stage: OrderStage) -> None:
    answer = stage.order("promote", version="2")
    assert (answer["changed"], answer["said"]) == (True, "Promoted version 2 of shades, before it was 3.")
    assert answer["undo"] == "darkroom models rollback shades"
    assert stage.model == ({"champion": "2"}, {"darkroom.previous_champion": "3"})
    again = stage.order("promote", version="2")
    assert (again["changed"], again["said"]) == (False, "Version 2 of shades is its champion already.")
    assert stage.book.waiting() == []


def test_a_rollback_killed_before_any_write_goes_back_one_version_and_no_further(stage: OrderStage) -> None:
    for writes in (0, 1):
        stage.store.promote("champion", VersionNumber("3"))
        stage.store.client.set_registered_model_tag(MODEL, "darkroom.previous_champion", "2")
        order = stage.place("rollback")
        stage.writer.left = writes
        with pytest.raises(Killed):
            stage.taker.take_all()
        assert stage.answer(order) is None
        stage.writer.left = 10**9
        stage.taker.take_all()
        assert stage.answer(order)["said"] == "Rolled shades back from version 3 to 2, its champion before."
        assert stage.model == ({"champion": "2"}, {})


def test_a_repeated_rollback_of_a_champion_that_was_left_is_refused(stage: OrderStage) -> None:
    assert stage.order("rollback", **{"from": "3"})["changed"]
    refused = stage.order("rollback", **{"from": "3"})["refused"]
    assert refused["reason"] == "The champion of shades is version 2, not 3: nothing was rolled back"
    assert stage.model[0] == {"champion": "2"}


def test_a_challenger_and_a_shadow_begin_and_end(stage: OrderStage) -> None:
    stage.order("challenger", version="2", percent=10)
    stage.order("shadow", version="1", percent=50)
    assert stage.model[0] == {"champion": "3", "challenger": "2", "shadow": "1"}
    assert stage.model[1]["darkroom.challenger_percent"] == "10"
    assert stage.order("challenger", end=True)["changed"]
    assert stage.order("shadow", end=True)["changed"]
    assert not stage.order("shadow", end=True)["changed"]
    assert stage.model[0] == {"champion": "3"}


def test_a_canary_begins_and_is_stopped(stage: OrderStage) -> None:
    terms = {"steps": [5, 100], "every": 60.0}
    stage.order("canary", version="2", terms=terms)
    canary = Canary.from_text(stage.model[1][CANARY_TAG])
    assert (canary.version, canary.champion, canary.steps, canary.began) == ("2", "3", (5, 100), 1000.0)
    assert "A canary of shades runs" in stage.order("canary", version="1", terms=terms)["refused"]["reason"]
    stage.order("canary", end=True)
    assert Canary.from_text(stage.model[1][CANARY_TAG]).phase is Phase.STOPPED


@pytest.mark.parametrize(
    ("change", "arguments", "why"),
    [
        ("promote", {"version": "9"}, "shades has no version 9. Ready are: 1, 2, 3"),
        ("shadow", {"version": "3", "percent": 1}, "Version 3 of shades is its champion: a shadow is another version"),
        ("praise", {}, "This worker does not know the change 'praise': it is of another release"),
    ],
)
def test_what_can_not_be_is_refused_with_the_reason(
    stage: OrderStage, change: str, arguments: dict[str, Any], why: str
) -> None:
    assert stage.order(change, **arguments)["refused"]["reason"] == why


def test_what_nobody_began_in_time_is_never_carried_out(stage: OrderStage) -> None:
    order = stage.place("promote", version="2", patience=timedelta(seconds=-1))
    stage.taker.take_all()
    assert stage.answer(order) == {"late": True}
    assert stage.model[0] == {"champion": "3"}


def test_a_model_that_is_not_registered_is_said(stage: OrderStage) -> None:
    stage.store.client.delete_registered_model(MODEL)
    assert stage.order("promote", version="2") == {"unknown": MODEL}


def test_a_registry_that_is_away_is_said(stage: OrderStage) -> None:
    stage.store.break_down()
    try:
        assert "registered_models" in stage.order("promote", version="2")["failed"]
    finally:
        stage.store.come_back()


def test_an_order_waits_while_another_worker_changes_the_model(stage: OrderStage) -> None:
    with ModelTurns(stage.client, worker="another").held(MODEL) as turn:
        assert turn is not None
        order = stage.place("promote", version="2")
        stage.taker.take_all()
        assert stage.answer(order) is None
    stage.taker.take_all()
    assert stage.answer(order)["changed"]


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("promote", {"version": "1"}),
    ("rollback", {}),
    ("challenger", {"version": "1", "percent": 50}),
    ("challenger", {"end": True}),
    ("shadow", {"version": "1", "percent": 50}),
    ("shadow", {"end": True}),
    ("canary", {"end": True}),
]


@pytest.mark.parametrize(("change", "arguments"), CHANGES, ids=str)
def test_a_registry_that_fails_before_any_write_has_the_change_whole_once_it_is_back(
    stage: OrderStage, change: str, arguments: dict[str, Any]
) -> None:
    def begin() -> None:
        stage.store.promote("champion", VersionNumber("3"))
        stage.store.promote("challenger", VersionNumber("2"))
        stage.store.promote("shadow", VersionNumber("2"))
        for name, value in {"previous_champion": "2", "challenger_percent": "5", "shadow_percent": "5"}.items():
            stage.store.client.set_registered_model_tag(MODEL, f"darkroom.{name}", value)
        canary = Canary(
            version="2", champion="3", steps=(5, 100), every=60.0, began=1.0, since=1.0, max_errors=0.1, max_p99=2
        )
        stage.store.client.set_registered_model_tag(MODEL, CANARY_TAG, canary.to_text())

    begin()
    answered = stage.order(change, **arguments)
    whole, writes = stage.model, 10**9 - stage.writer.left
    stage.writer.end = ConnectionError("MLflow does not answer")
    for left in range(writes):
        begin()
        order, stage.writer.left = stage.place(change, **arguments), left
        stage.taker.take_all()
        assert stage.answer(order) is None  # neither done nor refused: it goes on
        stage.writer.left = 10**9
        stage.taker.take_all()
        assert (stage.answer(order), stage.model) == (answered, whole)
    assert stage.book.waiting() == []


@pytest.mark.parametrize("name", ["a:b", ".."])
def test_what_the_registry_refuses_is_refused_and_not_repeated(stage: OrderStage, name: str) -> None:
    order = new_order(ModelName(name), "promote", {}, owner=ANYONE)
    text = json.dumps({"model": name, "change": "promote", "arguments": {}, "owner": ANYONE})
    expires = int(server_time(stage.client) + 20) * 1_000_000
    stage.client.hset(keys.model_order(order.id), mapping={"order": text, "expires": expires})
    stage.client.zadd(keys.MODEL_ORDERS, {order.id: expires})
    stage.taker.take_all()
    answer = stage.answer(order)
    assert "refused" in answer or "unknown" in answer, answer


def test_a_version_that_is_deleted_once_the_change_is_planned_is_refused(stage: OrderStage) -> None:
    order = stage.place("promote", version="2")
    stage.writer.left = 0
    with pytest.raises(Killed):
        stage.taker.take_all()
    stage.store.client.delete_model_version(MODEL, "2")
    stage.writer.left = 10**9
    stage.taker.take_all()
    assert "The registry refuses it" in stage.answer(order)["refused"]["reason"]
    assert stage.book.waiting() == []


def test_a_worker_that_wakes_after_its_turn_writes_nothing_more(stage: OrderStage) -> None:
    order = stage.place("promote", version="1")

    class Hanging(RegistryWriter):
        """Hangs in its first write until its turn is over, another worker did the same and the next one undid it."""

        def set_tag(self, *arguments: Any) -> None:
            super().set_tag(*arguments)
            stage.client.delete(keys.model_turn(MODEL))
            stage.taker.take_all()
            assert stage.order("promote", version="2")["changed"]

    reader, writer = RegistryReader(Registry(url=stage.store.url)), Hanging(lambda: stage.store.client)
    registry = RegistryInTurn(reader, writer, client=stage.client, worker="slow")
    OrderTaker(registry, client=stage.client).take_all()
    assert stage.answer(order)["said"] == "Promoted version 1 of shades, before it was 3."
    assert stage.model[0]["champion"] == "2"


def test_the_end_of_a_turn_that_is_over_does_not_end_the_next_workers(redis_client: redis.Redis) -> None:
    one, two = (ModelTurns(redis_client, worker="same name") for _ in range(2))
    with one.held(MODEL) as first:
        assert first is not None
        redis_client.delete(keys.model_turn(MODEL))  # its time is over
        with two.held(MODEL) as second:
            assert second is not None
            with pytest.raises(TurnLost):
                first.check()
            with one.held(MODEL) as third:
                assert third is None
            second.check()


def test_a_workers_clock_does_not_matter(stage: OrderStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 4e9)
    monkeypatch.setattr("time.time_ns", lambda: 4 * 10**18)
    assert stage.order("promote", version="2")["changed"]


def test_an_order_that_redis_has_forgotten_is_dropped(stage: OrderStage) -> None:
    stage.client.zadd(keys.MODEL_ORDERS, {"gone": now_us()})
    stage.taker.take_all()
    assert stage.book.waiting() == []
