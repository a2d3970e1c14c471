"""Redis and Postgres die under load and come back."""

import os
import time

import pytest

from shared.domain.identifiers import new_uuid7
from tests.support.breakable_stack import Breakable, picture
from tests.support.load import Load, agree, reckon, settle


def test_redis_killed_and_restarted_loses_and_duplicates_nothing(breakable: Breakable) -> None:
    """`appendfsync always`: what was accepted is on disk."""
    rows_before = breakable.count_rows()
    with Load(breakable.stack.url, first=100_000) as load:
        load.wait_for_more(150)
        for seconds_away in (0.2, 1.5):
            breakable.redis_server.kill()
            time.sleep(seconds_away)
            breakable.redis_server.start()
            load.wait_for_more(150)
    reckon(breakable, load, rows_before=rows_before)


def test_a_redis_that_lost_a_second_loses_only_that_and_changes_no_end(breakable: Breakable) -> None:
    """`appendfsync everysec` and a power cut: a killed process alone would lose nothing that the kernel has."""
    breakable.redis.config_set("appendfsync", "everysec")
    with Load(breakable.stack.url, first=200_000) as load:
        load.wait_for_more(150)
        with breakable.stopped("predict"):
            load.wait_for_more(20)
            waiting = [breakable.submit(picture(number)) for number in range(60_000, 60_020)]
            kept_at, kept_bytes = time.time(), breakable.append_only_file.stat().st_size
            for id in waiting[:10]:
                breakable.http.post(f"/v1/predictions/{id}/cancel")
        ends = {id: breakable.ended(id)["status"] for id in waiting}
        settle(breakable, waiting)
        while time.time() < kept_at + 1:
            time.sleep(0.01)
        breakable.redis_server.kill()
        killed_at = time.time()
        os.truncate(breakable.append_only_file, kept_bytes)
        breakable.redis_server.start()
        load.wait_for_more(150)
    assert load.odd == []
    # Only what was answered after the cut may be gone.
    must = {id for id, at in load.at.items() if not kept_at <= at <= killed_at + 0.5}
    settle(breakable, must)
    lost = load.accepted.keys() - breakable.rows(load.accepted).keys()
    assert lost <= load.accepted.keys() - must
    assert load.missing <= lost
    agree(breakable, load, lost=lost)
    # Until it is forgotten, a job that came back is shown as it was; but only one that ended in the lost second.
    again = breakable.rows(load.changed)
    assert all(kept_at - 0.1 <= row.completed_at <= killed_at for row in again.values())
    # All of these were recorded and came back: their status is what clients were told.
    assert set(ends.values()) == {"canceled", "succeeded"}
    assert {id: breakable.prediction(id)["status"] for id in waiting} == ends
    assert {id: row.status for id, row in breakable.rows(waiting).items()} == ends


def test_predictions_continue_without_postgres_and_rows_catch_up(breakable: Breakable, outage_seconds: float) -> None:
    recorded = breakable.submit(picture(64_000))
    settle(breakable, [recorded])
    rows_before = breakable.count_rows()
    with Load(breakable.stack.url, first=300_000) as load:
        load.wait_for_more(100)
        breakable.postgres.stop()
        gone_at = time.monotonic()
        # From Redis everything is answered; what only Postgres could say is not guessed.
        load.wait_for_more(100)
        waited = breakable.http.post(
            "/v1/predictions",
            content=picture(64_001),
            headers={"Content-Type": "image/png", "Prefer": "wait=60"},
        )
        assert (waited.status_code, waited.json()["status"]) == (200, "succeeded")
        breakable.redis.delete(f"job:{recorded}")
        for id in (recorded, new_uuid7()):
            answer = breakable.http.get(f"/v1/predictions/{id}")
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        for path in ("webhooks/default/secret", "webhook-deliveries", f"webhook-deliveries/{new_uuid7()}"):
            answer = breakable.http.get(f"/v1/{path}")
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
        time.sleep(max(0.0, gone_at + outage_seconds - time.monotonic()))
        load.wait_for_more(20)
        breakable.postgres.start()
        load.wait_for_more(100)
    assert breakable.prediction(recorded)["status"] == "succeeded"
    settle(breakable, [waited.json()["id"]])
    reckon(breakable, load, rows_before=rows_before + 1)


@pytest.fixture
def outage_seconds(request: pytest.FixtureRequest) -> float:
    seconds: float = request.config.getoption("--outage-seconds")
    return seconds
