"""Carries out orders to change what serves, which gateways place in Redis: they reach the registry, gateways don't."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain import canary_changes, model_changes, registry_change
from shared.domain.canary_changes import CanaryTerms
from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import ModelName
from shared.domain.model_orders import ModelOrder
from shared.domain.registered_model import READY, RegisteredModel
from shared.domain.registry_change import Change, Registry
from shared.queue.model_orders import OrderBook
from shared.queue.registry_hints import CHANGED, RegistryHints
from worker.models.failure_text import failure_text
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_refusals import is_refusal
from worker.models.registry.registry_snapshot import NotRegistered

log = logging.getLogger(__name__)

WAIT: Final = timedelta(seconds=4)
"""How long a worker waits to be woken; then it looks for orders that another one left. Less than `SEEN`."""
AGAIN: Final = timedelta(seconds=1)
"""How long it waits while there is an order that it could not carry out."""
ENDING: Final[dict[str, Callable[[RegisteredModel], Change]]] = {
    "challenger": model_changes.end_challenger,
    "shadow": model_changes.end_shadow,
    "canary": canary_changes.stop_canary,
}
SHARED: Final[dict[str, Callable[..., Change]]] = {
    "challenger": model_changes.begin_challenger,
    "shadow": model_changes.begin_shadow,
}


class OrderTaker:
    """One worker's part in carrying orders out; called from one thread."""

    def __init__(self, registry: RegistryInTurn, *, client: redis.Redis) -> None:
        self._registry = registry
        self._book = OrderBook(client)
        self._hints = RegistryHints(client)
        self._pause = WAIT
        self._lock = threading.Lock()
        self._is_ending = self._is_at_work = False

    def take_next(self) -> None:
        """Wait until an order is placed, WAIT at most, then carry out all that wait."""
        self._book.sign()
        was_woken = self._book.wait(self._pause)
        with self._lock:
            self._is_at_work = not self._is_ending
        if not self._is_at_work:
            if was_woken:
                self._book.wake()
            return
        try:
            self._pause = AGAIN if self.take_all() else WAIT
        finally:
            self._is_at_work = False

    def stop(self) -> bool:
        """Carry out nothing from the next `take_next` on; return whether the one under way does more than wait.

        What is placed meanwhile may wake this worker: it wakes another one. Killed before that, the others find the
        order after WAIT.
        """
        with self._lock:
            self._is_ending = True
            return self._is_at_work

    def take_all(self) -> bool:
        """Carry out what waits; return whether an order is left for the next call.

        It is where another worker changes its model at the moment, or the registry failed in the middle.
        """
        is_left = False
        for id in self._book.waiting():
            order = self._book.read(id)
            if order is None:
                continue
            # The turn of canaries: nobody else writes the model's aliases and tags meanwhile.
            with self._registry.turn(order.model) as writer:
                # Another worker may have answered between the read and the turn.
                if writer is not None and self._book.read(id) is not None:
                    answer = self.carry_out(order, writer)
                    if answer is not None:
                        self._book.answer(id, answer)
                    is_left |= answer is None
                is_left |= writer is None
        return is_left

    def carry_out(self, order: ModelOrder, writer: Registry) -> dict[str, Any] | None:
        """Do what is ordered, by the plan of whoever began it, and return the answer. Safe to repeat.

        None where the registry fails after the first write was begun: what is half done is no answer, and is tried
        again. What the registry itself refuses is answered.
        """
        plan: bytes | None = None
        try:
            plan = self._book.plan(order.id)
            if plan is None and self._book.is_late(order.id):
                return {"late": True}
            # Whoever was killed half-way left the plan, which names the versions: a new one might go further.
            plan = plan or self._book.begin(order.id, self._plan(order).to_text())
            change = Change.from_text(plan)
            registry_change.carry_out(writer, order.model, change.writes)
            if change.writes:
                self._hints.give(CHANGED)
        except NotRegistered:
            return {"unknown": order.model}
        except ChangeRefused as error:
            return {"refused": {"reason": error.reason, "advice": error.advice, "command": error.command}}
        except redis.RedisError:
            raise
        except Exception as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors
            text, refuses = failure_text(error), is_refusal(error)
            log.warning("model_order_failed", extra={"model": order.model, "reason": text, "begun": plan is not None})
            if refuses:
                return {"refused": {"reason": f"The registry refuses it: {text}", "advice": "", "command": ""}}
            return {"failed": text} if plan is None else None
        facts = {"model": order.model, "change": order.change, "owner": order.owner, "said": change.said}
        log.info("model_order_carried_out", extra=facts)
        return {
            "model": order.model,
            "change": order.change,
            "changed": bool(change.writes),
            "said": change.said,
            "undo": f"darkroom {change.undo}" if change.undo else None,
        }

    def _plan(self, order: ModelOrder) -> Change:
        model, given = self._read(order.model), order.arguments
        version = str(given.get("version", "latest"))
        if given.get("end"):
            ending = ENDING.get(order.change)
            if ending is not None:
                return ending(model)
        elif order.change == "promote":
            return model_changes.promote(model, version)
        elif order.change == "rollback":
            return model_changes.roll_back(model, champion=given.get("from"))
        elif order.change in SHARED:
            return SHARED[order.change](model, version, percent=given["percent"])
        elif order.change == "canary":
            terms = CanaryTerms(**{**given["terms"], "steps": tuple(given["terms"]["steps"])})
            return canary_changes.begin_canary(model, version, terms, now=self._registry.now())
        raise ChangeRefused(reason=f"This worker does not know the change {order.change!r}: it is of another release")

    def _read(self, name: ModelName) -> RegisteredModel:
        found = self._registry.read(name)
        versions = dict.fromkeys(found.versions, READY)
        return RegisteredModel(name=name, aliases=found.aliases, tags=found.tags, versions=versions)
