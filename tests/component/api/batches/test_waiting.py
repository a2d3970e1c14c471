"""An upload that waits for its results keeps nothing, and is answered when the gateway stops or cannot send them."""

import asyncio
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine

from api.batches import waiting
from api.state.job_waiters import JobWaiters
from shared.domain.model_route import Route
from tests.support.waiting import LIMIT

Serve = Callable[..., Any]


def files(count: int) -> list[tuple[str, tuple[str, bytes]]]:
    found = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.new("RGB", (2, 2), (number, 7, 9)).save(buffer, "PNG")
        found.append(("images", (f"{number}.png", buffer.getvalue())))
    return found


def broken(count: int) -> list[tuple[str, tuple[str, bytes]]]:
    """Files that are no images: they end at once, without a worker."""
    return [("images", (f"{number}.png", b"no image")) for number in range(count)]


def make_waiters(app: FastAPI) -> JobWaiters:
    gate: SimpleNamespace = app.state.gateway
    gate.waiters = JobWaiters(gate.producer.done)
    return gate.waiters


async def send(client: httpx.AsyncClient, parts: list[Any], wait: str = "wait=30") -> httpx.Response:
    return await client.post("/v1/batches", files=parts, headers={"Prefer": wait})


def test_results_are_sent_without_a_row_of_them(serve: Serve, app: FastAPI, engine: Engine, digits: Route) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        waiters = make_waiters(app)
        answer = await send(client, broken(30))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["request_counts"] == {"total": 30, "succeeded": 0, "failed": 30, "canceled": 0}
        assert [line["custom_id"] for line in found["results"]] == [f"{number}.png" for number in range(30)]
        assert not waiters._events
        assert app.state.gateway.body_memory.bytes == 0
        await waiters.close()

    serve(claim, routes=[digits], engine=engine)


def test_results_that_are_too_large_for_an_answer_are_left_to_their_own_url(
    serve: Serve, app: FastAPI, engine: Engine, digits: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES", 1000)

    async def claim(client: httpx.AsyncClient) -> None:
        waiters = make_waiters(app)
        assert (await send(client, broken(2))).status_code == 200
        answer = await send(client, broken(20))
        assert answer.status_code == 202
        assert "results" not in answer.json()
        await waiters.close()

    serve(claim, routes=[digits], engine=engine)


def test_uploads_that_wait_hold_no_memory_and_are_answered_when_the_gateway_stops(
    serve: Serve, app: FastAPI, engine: Engine, digits: Route
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        waiters = make_waiters(app)
        gate = app.state.gateway
        sent = [asyncio.create_task(send(client, files(5))) for _ in range(4)]
        while len(waiters._events) < 20:  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.01)
        assert gate.body_memory.bytes == 0
        gate.draining.when_over(waiters.wake_all)
        gate.draining._finish(lambda: None)
        answers = await asyncio.wait_for(asyncio.gather(*sent), LIMIT)
        assert [answer.status_code for answer in answers] == [202] * 4
        assert {answer.headers["preference-applied"] for answer in answers} == {"wait=30"}
        assert not waiters._events
        await waiters.close()

    serve(claim, routes=[digits], engine=engine)
