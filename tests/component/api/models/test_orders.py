"""Changes of what serves over HTTP: what a worker is told, what the caller is told, and when no worker answers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis

from api.models import orders
from api.schemas import ModelChange
from shared.domain.model_orders import ModelOrder
from shared.queue import keys
from shared.queue.model_orders import OrderBook

Serve = Callable[..., Any]
ANSWER = {
    "model": "digits", "change": "promote", "changed": True, "said": "Promoted version 4.", "undo": None,
}  # fmt: skip


@pytest.fixture
def book(redis_client: "redis.Redis") -> OrderBook:
    book = OrderBook(redis_client)
    book.sign()
    return book


@pytest.fixture
def order(serve: Serve, book: OrderBook) -> Callable[..., tuple[httpx.Response, list[ModelOrder]]]:
    """Send a request, answer it as a worker, and return the response and the orders that were taken."""

    def order(
        path: str, body: Any = None, *, method: str = "POST", answer: dict[str, Any] | None = ANSWER
    ) -> tuple[httpx.Response, list[ModelOrder]]:
        taken: list[ModelOrder] = []

        async def work() -> None:
            while True:
                for id in book.waiting():
                    found = book.read(id)
                    if found is not None and answer is not None:
                        taken.append(found)
                        book.answer(id, answer)
                await asyncio.sleep(0.01)

        async def claim(client: httpx.AsyncClient) -> httpx.Response:
            worker = asyncio.create_task(work())
            try:
                return await client.request(method, f"/v1/models/digits/{path}", json=body)
            finally:
                worker.cancel()

        response: httpx.Response = serve(claim)
        return response, taken

    return order


@pytest.mark.parametrize(
    ("path", "method", "body", "arguments"),
    [
        ("promote", "POST", {"version": "4"}, {"version": "4"}),
        ("promote", "POST", {}, {}),
        ("rollback", "POST", {"from": "4"}, {"from": "4"}),
        ("challenger", "POST", {"version": "4", "percent": 10}, {"version": "4", "percent": 10}),
        ("challenger", "DELETE", None, {"end": True}),
        ("shadow", "POST", {"percent": 0.0}, {"percent": 0}),
        ("shadow", "DELETE", None, {"end": True}),
        ("canary", "DELETE", None, {"end": True}),
    ],
)
def test_a_worker_gets_what_is_asked_for_and_its_answer_is_returned(
    order: Callable[..., Any], path: str, method: str, body: Any, arguments: dict[str, Any]
) -> None:
    response, [taken] = order(path, body, method=method)
    assert (response.status_code, response.json()) == (200, ANSWER)
    ModelChange.model_validate(response.json())
    assert (taken.model, taken.change, taken.arguments, taken.owner) == ("digits", path, arguments, "default")


def test_a_canary_has_the_commands_terms_unless_others_are_given(order: Callable[..., Any]) -> None:
    _, [taken] = order("canary", {"version": "4", "steps": [10, 100], "max_errors": 0})
    assert taken.arguments == {
        "version": "4",
        "terms": {
            "steps": [10, 100], "every": 600.0, "max_errors": 0.0, "max_p99": 1.5, "min_agreement": None,
            "min_images": 100, "patience": 86400.0,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("promote", {"version": 4}, "/version"),
        ("promote", {"number": "4"}, "/number"),
        ("challenger", {"version": "4"}, "/percent"),
        ("shadow", {"percent": 101}, "/percent"),
        ("shadow", {"percent": True}, "/percent"),
        ("canary", {"steps": [50, 5]}, "/steps"),
        ("canary", {"steps": "5"}, "/steps"),
        ("canary", {"max_errors": 2}, "/max_errors"),
        ("canary", {"min_images": 0}, "/min_images"),
        ("canary", {"every_seconds": 0}, "/every_seconds"),
        ("promote", {"version": "runs:/1/model"}, "/version"),
    ],
)
def test_what_can_not_be_is_refused_and_no_order_is_placed(
    order: Callable[..., Any], path: str, body: Any, pointer: str
) -> None:
    response, taken = order(path, body)
    assert (response.status_code, response.json()["errors"][0]["pointer"], taken) == (422, pointer, [])


def test_a_workers_refusal_is_the_problem(order: Callable[..., Any]) -> None:
    refused = {"refused": {"reason": "digits has no version 9", "advice": "", "command": ""}}
    response, _ = order("promote", {"version": "9"}, answer=refused)
    problem = response.json()
    assert (response.status_code, problem["type"], problem["detail"]) == (
        409, "/problems/change-refused", "digits has no version 9",
    )  # fmt: skip


def test_a_model_that_is_not_registered_is_unknown(order: Callable[..., Any]) -> None:
    response, _ = order("promote", {}, answer={"unknown": "digits"})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (404, "/problems/unknown-model")
    assert "nothing is registered under this name" in problem["detail"]


def test_a_registry_that_is_away_is_said(order: Callable[..., Any]) -> None:
    response, _ = order("promote", {}, answer={"failed": "connection refused"})
    assert response.status_code == 503
    assert response.json()["detail"] == "the registry can't be asked: connection refused"


def test_without_a_worker_nothing_is_ordered(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/models/digits/promote", json={})

    response = serve(claim)
    assert (response.status_code, response.json()["type"]) == (503, "/problems/no-registry-worker")
    assert redis_client.zcard(keys.MODEL_ORDERS) == 0


def test_a_worker_that_does_not_answer_is_waited_for_so_long(
    order: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "PATIENCE", timedelta(milliseconds=50))
    response, _ = order("promote", {}, answer=None)
    problem = response.json()
    assert (response.status_code, problem["type"], problem["waited_seconds"]) == (
        504, "/problems/change-unanswered", 0.05,
    )  # fmt: skip
