"""Large work leaves the event loop, small work does not."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest

from api.state.body_memory import BodyMemory, MemoryHold
from api.state.large_work import LARGE, _pool, off_the_loop
from api.uploads.bodies import read_file, read_prediction
from shared.domain.identifiers import ANYONE
from shared.settings import Intake
from tests.unit.api.uploads.test_bodies import a_request, form

LIMITS = Intake()


def a_hold() -> MemoryHold:
    return BodyMemory(LIMITS).hold(ANYONE)


def leaves_the_loop(work: Coroutine[Any, Any, Any]) -> bool:
    """Tell whether a thread is started for this work, by a pool that has none yet."""
    _pool.cache_clear()
    before = set(threading.enumerate())
    asyncio.run(work)
    return any(thread.name.startswith("large-body") for thread in set(threading.enumerate()) - before)


def test_large_work_runs_in_a_thread_and_small_work_on_the_loop() -> None:
    async def where(size: int) -> str:
        return await off_the_loop(size, lambda: threading.current_thread().name)

    assert asyncio.run(where(LARGE - 1)) == threading.current_thread().name
    assert asyncio.run(where(LARGE)).startswith("large-body")


def test_an_error_in_the_thread_is_raised_to_the_caller() -> None:
    with pytest.raises(ValueError, match="no number"):
        asyncio.run(off_the_loop(LARGE, int, "no number"))


@pytest.mark.parametrize(("size", "leaves"), [(LARGE // 4, False), (2 * LARGE, True)])
def test_a_large_body_is_parsed_in_a_thread(size: int, *, leaves: bool) -> None:
    image = b"x" * size
    url = "data:," + "x" * size
    as_json = a_request(orjson.dumps({"input": {"image": url}}), "application/json")
    as_form = a_request(*form({}, [("image", ("a.png", image, "image/png"))]))
    as_file = a_request(*form({}, [("content", ("a.png", image, "image/png"))]))
    assert leaves_the_loop(read_prediction(as_json, limits=LIMITS, hold=a_hold())) == leaves
    assert leaves_the_loop(read_prediction(as_form, limits=LIMITS, hold=a_hold())) == leaves
    assert leaves_the_loop(read_file(as_file, limits=LIMITS, hold=a_hold())) == leaves
