"""Figures in a real Redis: what is published expires, a slot has one sample, the stream is capped."""

import json
from typing import Any

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.domain.status.process_figures import ProcessFigures
from shared.domain.status.samples import COLUMNS, MOST
from shared.queue import keys
from shared.queue.inspection import duties, status_board
from shared.queue.inspection.gauges import Gauges
from shared.queue.inspection.status_board import Board, Call
from shared.queue.lua import Scripts


@pytest.fixture
def run(redis_client: redis.Redis) -> Any:
    scripts = Scripts(redis_client)

    def run(call: Call) -> Any:
        return scripts.run(call.script, call.keys, *call.arguments)

    return run


def figures(name: str, *roles: str, **facts: Any) -> ProcessFigures:
    return ProcessFigures(name=name, roles=roles, host="h", pid=1, up_seconds=3.0, facts=facts)


def board_of(run: Any) -> Board:
    return status_board.parse_board(run(status_board.read_call()))


def test_figures_are_read_as_they_were_published(run: Any) -> None:
    published = [figures("a", "api"), figures("b", "predict", device={"name": "gpu"})]
    for one in published:
        run(status_board.publish_call(one, samples=False))
        run(status_board.publish_call(one, samples=False))
    found = board_of(run)
    assert [one.figures for one in found.processes] == published
    assert all(0 <= one.silent_seconds < 5 for one in found.processes)


def test_a_process_that_died_is_forgotten_when_its_figures_expire(run: Any, redis_client: redis.Redis) -> None:
    run(status_board.publish_call(figures("dead", "predict"), samples=False))
    run(status_board.publish_call(figures("alive", "predict"), samples=False))
    assert 0 < redis_client.pttl(keys.figures("dead")) <= 15_000
    redis_client.delete(keys.figures("dead"))
    redis_client.zadd(keys.FIGURES, {"dead": 1})
    assert [one.figures.name for one in board_of(run).processes] == ["alive"]
    run(status_board.publish_call(figures("alive", "predict"), samples=False))
    assert redis_client.zrange(keys.FIGURES, 0, -1) == [b"alive"]


def test_figures_of_another_release_are_left_out_or_read_as_far_as_they_are_known(
    run: Any, redis_client: redis.Redis
) -> None:
    run(status_board.publish_call(figures("a", "api"), samples=False))
    run(status_board.publish_call(figures("b", "api"), samples=False))
    redis_client.set(keys.figures("a"), json.dumps({"name": "a"}))
    known = json.loads(redis_client.get(keys.figures("b")) or b"")
    redis_client.set(keys.figures("b"), json.dumps(known | {"new": 1}))
    assert [one.figures for one in board_of(run).processes] == [figures("b", "api")]


def test_one_of_many_processes_keeps_a_slots_sample(run: Any, redis_client: redis.Redis) -> None:
    slots = [int(run(status_board.publish_call(figures(f"g{n}", "api"), samples=True))) for n in range(64)]
    taken = [slot for slot in slots if slot]
    assert 1 <= len(taken) <= 2, "two where a slot ended meanwhile"
    assert slots[0] % 10_000 == 0
    call = status_board.sample_call(slots[0], board_of(run), duties.read_duties(redis_client))
    assert (run(call), run(call)) == (1, 0)
    # The gateway's pipeline leaves replies as they come; this client makes dicts of an entry's fields.
    entries = redis_client.execute_command(*status_board.samples_command(0))
    (sample,) = status_board.parse_samples([(id, next(iter(fields.items()))) for id, fields in entries])
    assert sample[0] == slots[0]
    assert sample[1]["workers"] == 0
    assert "latency_p50_seconds" not in sample[1]
    assert sample[1].keys() <= set(COLUMNS)
    assert set(board_of(run).alerts_since) == {
        *("RecordWorkerDown", "WebhookWorkerDown", "QueueNotVisible"),
        *("RoleMissing record", "RoleMissing webhooks", "RoleMissing upkeep"),
    }


def test_samples_are_capped(run: Any, redis_client: redis.Redis) -> None:
    board, told = board_of(run), duties.read_duties(redis_client)
    for slot in range(1, MOST + 5):
        run(status_board.sample_call(slot * 10_000, board, told))
    assert redis_client.xlen(keys.STATUS_SAMPLES) == MOST


def test_the_queue_is_published_as_it_was_read(run: Any, redis_client: redis.Redis) -> None:
    redis_client.sadd(keys.MODELS, "digits")
    redis_client.xadd(keys.lane(ModelName("digits"), keys.INTERACTIVE), {"x": "y"})
    state = Gauges(redis_client).read()
    run(status_board.publish_call(figures("u", "upkeep", queue=status_board.queue_facts(state)), samples=False))
    found = board_of(run).figures(duties.read_duties(redis_client))
    (model,) = found.models
    assert model.workers == 0
    assert model.interactive is not None
    assert model.interactive.entries == 1
    assert found.memory_bytes == state.memory_used_bytes
