"""The thread of a worker that waits for orders: when it ends, and when it looks again."""

from typing import Any

import pytest

from shared.domain.model_orders import ModelOrder
from shared.queue import keys
from shared.queue.model_turns import ModelTurns
from tests.support.order_stage import OrderStage
from tests.support.registries import MODEL
from worker.models.following.order_taker import OrderTaker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it


def test_a_worker_that_ends_while_it_waits_is_not_waited_for_and_wakes_another(stage: OrderStage) -> None:
    """Its thread hangs in Redis meanwhile; what wakes it then is passed on."""
    placed = stage.place("promote", version="2")
    stage.book.wake()
    assert not stage.taker.stop()
    stage.taker.take_next()
    assert stage.answer(placed) is None
    other = OrderTaker(stage.registry, client=stage.client)
    other.take_next()
    assert stage.answer(placed)["changed"]
    assert stage.client.exists(keys.MODEL_ORDERS_BELL) == 0


def test_an_order_that_is_carried_out_is_waited_for(stage: OrderStage, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bool] = []
    carry_out = stage.taker.carry_out

    def stopped_meanwhile(order: ModelOrder, writer: Any) -> Any:
        said.append(stage.taker.stop())
        return carry_out(order, writer)

    monkeypatch.setattr(stage.taker, "carry_out", stopped_meanwhile)
    placed = stage.place("promote", version="2")
    stage.book.wake()
    stage.taker.take_next()
    assert (said, stage.answer(placed)["changed"], stage.taker.stop()) == ([True], True, False)


def test_what_cannot_be_carried_out_now_is_looked_for_again_soon(stage: OrderStage) -> None:
    placed = stage.place("promote", version="2")
    with ModelTurns(stage.client, worker="another").held(MODEL):
        assert stage.taker.take_all()
    assert not stage.taker.take_all()
    assert stage.answer(placed)["changed"]
