"""A model in a real MLflow registry and orders to change it, for tests of the workers that carry them out."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import redis

from shared.domain.identifiers import ANYONE, VersionNumber
from shared.domain.model_orders import ModelOrder, new_order
from shared.queue import keys
from shared.queue.model_orders import KEPT, OrderBook
from shared.queue.server_clock import server_time
from shared.settings import Registry
from tests.support.dying_writer import DyingWriter
from tests.support.registries import MODEL
from worker.models.following.order_taker import OrderTaker
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_reader import RegistryReader

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore


class OrderStage:
    """One model with three versions, the third champion, the first its champion before; and workers."""

    def __init__(self, store: "MlflowStore", client: redis.Redis) -> None:
        store.client.create_registered_model(MODEL)
        for _ in range(3):  # nobody loads them: without files
            store.client.create_model_version(MODEL, store.directory.as_uri(), run_id="0" * 32)
        store.promote("champion", VersionNumber("3"))
        store.client.set_registered_model_tag(MODEL, "darkroom.previous_champion", "2")
        self.client, self.store, self.book = client, store, OrderBook(client)
        self.writer = DyingWriter(lambda: store.client)
        reader = RegistryReader(Registry(url=store.url))
        self.registry = RegistryInTurn(reader, self.writer, client=client, worker="w", now=lambda: 1000.0)
        self.taker = OrderTaker(self.registry, client=client)

    def place(self, change: str, *, patience: timedelta = timedelta(seconds=20), **arguments: Any) -> ModelOrder:
        """Place an order as a gateway does, some of whose time may be over."""
        order = new_order(MODEL, change, arguments, owner=ANYONE)
        facts = {"model": order.model, "change": change, "arguments": arguments, "owner": order.owner}
        key = keys.model_order(order.id)
        expires = int((server_time(self.client) + patience.total_seconds()) * 1_000_000)
        self.client.hset(key, mapping={"order": json.dumps(facts), "expires": expires})
        self.client.expire(key, KEPT)
        self.client.zadd(keys.MODEL_ORDERS, {order.id: expires})
        return order

    def answer(self, order: ModelOrder) -> Any:
        found: Any = self.client.hget(keys.model_order(order.id), "answer")
        return found and json.loads(found)

    def order(self, change: str, **arguments: Any) -> Any:
        """Place an order, let a worker take it, and return the answer."""
        order = self.place(change, **arguments)
        self.taker.take_all()
        return self.answer(order)

    @property
    def model(self) -> tuple[dict[str, str], dict[str, str]]:
        """Aliases and tags."""
        found = self.store.client.get_registered_model(MODEL)
        return {name: str(number) for name, number in found.aliases.items()}, dict(found.tags)
