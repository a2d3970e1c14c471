"""The audit finds what is broken and nothing else, even while jobs are submitted, computed and recorded.

Over 300 lines: each promise of the audit is broken by a test of its own.
"""

import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from sqlalchemy import text

from cli.audit.invariants import MOST_OF_A_KIND
from shared.domain.identifiers import ANYONE, BatchId, new_uuid7
from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.inspection.duties import Sign
from shared.storage.recording import record
from tests.support.queue_system import LANE, MODEL, OUTPUT, System

Make = Callable[..., dict[bytes, bytes]]


def test_an_empty_system_is_clean(system: System) -> None:
    assert system.audit() == []


def test_the_audit_is_clean_at_every_stage_of_a_job(system: System) -> None:
    for number in range(12):
        system.submit(b"image %d" % number)
    for _ in range(5):
        system.submit(b"the same", waiters=2)  # full wait lists are renamed
    system.submit(b"bulk", lane="bulk:b1")
    assert system.audit() == [], "waiting"
    entries = system.lanes.begin(system.lanes.pull(8).entries)
    assert system.audit() == [], "processing"
    system.lanes.finish([Result(entry, "succeeded", OUTPUT) for entry in entries[:4]], run=b"{}")
    system.lanes.finish([Result(entry, "failed", error="e", code="model_error") for entry in entries[4:6]], run=b"{}")
    assert system.audit() == [], "finished"
    system.recorder._read()
    assert system.audit() == [], "being recorded"


def test_after_its_last_stage_a_job_is_recorded_and_the_audit_clean(system: System) -> None:
    kept = [system.submit(b"image %d" % number) for number in range(30)]
    for id in kept[:10]:
        system.cancel(id)
    while system.compute():
        pass
    system.submit(b"image 20")  # from the cache
    while system.recorder.run_once():
        pass
    assert system.audit() == []
    with system.engine.connect() as connection:
        counts = connection.execute(
            text("SELECT status, source, count(*) FROM predictions GROUP BY 1, 2 ORDER BY 1, 2")
        )
        assert [tuple(row) for row in counts] == [
            ("canceled", "model", 10), ("succeeded", "cache", 1), ("succeeded", "model", 20),
        ]  # fmt: skip


def test_a_batch_that_can_no_longer_be_recorded_is_found(
    system: System, redis_client: redis.Redis, batch_record: Make
) -> None:
    lost, recorded, about_to_be, being_read = (new_uuid7() for _ in range(4))
    for id, state in (
        (lost, "in_progress"),
        (recorded, "canceled"),
        (about_to_be, "in_progress"),
        (being_read, "validating"),
    ):
        redis_client.hset(keys.batch(BatchId(id)), mapping={"state": state, "owner": ANYONE})
        redis_client.zadd(keys.batches(ANYONE), {id: 1})
    with system.engine.connect() as connection:
        record(connection, [batch_record(recorded, total=1)])
    redis_client.xadd(keys.FINISHED, batch_record(about_to_be, total=1))
    assert system.audit() == [f"batch {lost}: it was read and is neither in the finished stream nor recorded"]


def test_wrong_counters_and_batches_that_did_not_end_are_found(
    system: System, finished_record: Make, batch_record: Make
) -> None:
    lied_about, not_ended, clean, *miscoded = (BatchId(new_uuid7(unix_ms=i)) for i in range(6))
    lies = ("{}", '{"model_error": 2}', '{"model_error": 1, "": 1, "worker_lost": 1}')
    with system.engine.connect() as connection:
        record(connection, [finished_record(batch=batch) for batch in (lied_about, not_ended, clean)])
        failures = [(batch, code) for batch in (clean, *miscoded) for code in ("model_error", "")]
        record(connection, [finished_record(state="failed", batch=batch, code=code) for batch, code in failures])
        record(connection, [batch_record(clean, total=3)])
    with system.engine.begin() as connection:
        connection.execute(text("UPDATE batches SET succeeded = 2 WHERE id = :id"), {"id": lied_about})
        connection.execute(text("UPDATE batches SET total = 1 WHERE id = :id"), {"id": not_ended})
        for batch, errors in zip(miscoded, lies, strict=True):
            connection.execute(text("UPDATE batches SET errors = :it WHERE id = :id"), {"id": batch, "it": errors})
    assert system.audit() == [
        f"batch {lied_about}: its counters (succeeded, failed, canceled) are [2, 0, 0], its rows [1, 0, 0]",
        f"batch {not_ended}: 1 of 1 items are in and completed is False",
        *(
            f"batch {batch}: its failures by code are {told}, its rows {{'': 1, 'model_error': 1}}"
            for batch, told in zip(
                miscoded, ({}, {"model_error": 2}, {"": 1, "model_error": 1, "worker_lost": 1}), strict=True
            )
        ),
    ]


def test_an_image_with_two_outputs_is_found_unless_only_last_digits_differ(
    system: System, finished_record: Make
) -> None:
    def answered(sha256: str, *outputs: dict[str, object]) -> list[dict[bytes, bytes]]:
        return [finished_record(request={"image": {"sha256": sha256}}, output=output) for output in outputs]

    swapped = answered("a" * 64, {"predicted_index": 7}, {"predicted_index": 8})
    digits = answered("b" * 64, {"confidence": 0.998}, {"confidence": 0.998001})
    tie = answered("c" * 64, {"confidence": 0.5}, {"confidence": 0.499999, "predicted_index": 3})
    unsure = answered("d" * 64, {"confidence": 0.9}, {"confidence": 0.8})
    with system.engine.connect() as connection:
        record(connection, swapped + digits + tie + unsure)
    assert system.audit() == [f"image {letter * 64}: version 3-m-1 gave it different outputs" for letter in "ad"]


def test_a_record_stored_without_its_text_is_not_a_finding(system: System, redis_client: redis.Redis) -> None:
    id = system.submit(b"image")
    entries = system.lanes.begin(system.lanes.pull(1).entries)
    system.lanes.finish([Result(entries[0], "succeeded", b'{"predicted_class":"\\u0000"}')], run=b"{}")
    assert system.recorder.run_once() == 1
    assert redis_client.hget(f"job:{id}", "state") == b"succeeded"
    assert system.audit() == []


def make_worker_seen(system: System, *, ago: timedelta) -> None:
    system.client.zadd(keys.workers(MODEL), {"w": (time.time() - ago.total_seconds()) * 1e6})


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pending or unread for 100 ms counts as overdue."""
    monkeypatch.setenv("DARKROOM_QUEUE_LEASE", "PT0.02S")
    monkeypatch.setenv("DARKROOM_PREDICT_TIMEOUT", "PT0.02S")
    monkeypatch.setattr("cli.audit.invariants.LANE_PAUSE", timedelta(milliseconds=50))


@pytest.mark.usefixtures("no_patience")
def test_a_lane_that_its_workers_do_not_read_is_stuck(system: System) -> None:
    for number in range(5):
        system.submit(b"image %d" % number)
    time.sleep(0.2)
    assert system.audit() == [], "nobody is there to read it"
    make_worker_seen(system, ago=timedelta(hours=1))
    assert system.audit() == [], "its worker is gone"
    make_worker_seen(system, ago=timedelta(0))
    assert len(found := system.audit()) == 1
    assert found[0].startswith(f"{LANE}: nothing was read for ")


@pytest.mark.usefixtures("no_patience")
def test_a_deep_lane_that_shrinks_is_not_stuck(system: System) -> None:
    for number in range(400):
        system.submit(b"image %d" % number)
    time.sleep(0.2)
    make_worker_seen(system, ago=timedelta(0))
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            system.compute(1)

    worker = threading.Thread(target=work)
    worker.start()
    assert system.audit() == []
    stop.set()
    worker.join()


@pytest.mark.usefixtures("no_patience")
def test_an_entry_that_no_worker_reclaims_is_stuck(system: System) -> None:
    system.submit(b"image")
    system.lanes.pull(1)
    make_worker_seen(system, ago=timedelta(0))
    time.sleep(0.2)
    assert len(found := system.audit()) == 1
    assert "has been nobody's for" in found[0]


def test_the_audit_of_a_system_under_load_is_clean(system: System) -> None:
    """Submitting, canceling, computing and recording go on while the audit runs again and again."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def forever(step: Callable[[], object]) -> threading.Thread:
        def loop() -> None:
            try:
                while not stop.is_set():
                    step()
            except BaseException as error:  # noqa: BLE001  shown by the assertion below
                failures.append(error)

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    numbers = iter(range(1_000_000))

    def submit() -> None:
        number = next(numbers)
        id = system.submit(
            b"image %d" % (number // 3), waiters=2, lane="bulk:b1" if number % 7 == 0 else keys.INTERACTIVE
        )
        if number % 5 == 0:
            system.cancel(id)
        time.sleep(0.001)

    def answer_calls() -> None:
        """In place of Celery: nothing else takes the bells' messages here."""
        system.client.delete(keys.RECORD_QUEUE, keys.predict_queue(MODEL))
        time.sleep(0.01)

    steps = (submit, lambda: system.compute(8), system.recorder.run_once, answer_calls)
    threads = [forever(step) for step in steps]
    try:
        end, findings = time.monotonic() + 2, []
        while time.monotonic() < end:
            findings += system.audit()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert findings == []
    assert next(numbers) > 200, "it did move"


def test_many_findings_are_counted_instead_of_listed(system: System) -> None:
    for number in range(MOST_OF_A_KIND + 5):
        system.submit(b"image %d" % number)
    system.client.delete(LANE)
    findings = system.audit()
    assert sum(finding.startswith("job ") for finding in findings) == MOST_OF_A_KIND
    assert "… and 5 more like the last one" in findings


# Work without workers


def long_ago(client: redis.Redis, *, seconds: int) -> int:
    now, _ = client.time()
    return (now - seconds) * 1000


def test_images_waiting_for_a_model_without_a_worker_are_found(system: System) -> None:
    id = system.submit(b"one")
    assert system.audit() == []
    fields = system.client.xrange(LANE)[0][1]
    old = f"{long_ago(system.client, seconds=70)}-0"
    system.client.delete(LANE)
    system.client.xgroup_create(LANE, keys.WORKERS, "0", mkstream=True)
    system.client.xadd(LANE, fields, id=old)
    waiting = system.client.hget(f"job:{id}", "waiting")
    system.client.lset(waiting, 0, old)
    system.client.hset(f"job:{id}", "entry", old)
    assert system.audit() == [f"{LANE}: images have waited for more than 60 s and {MODEL} has no worker"]
    make_worker_seen(system, ago=timedelta(0))
    assert system.audit() == []


def test_unrecorded_results_and_unanswered_bells_are_found(system: System) -> None:
    system.submit(b"one")
    system.compute()
    assert system.audit() == []
    fields = system.client.xrange(keys.FINISHED)[0][1]
    system.client.delete(keys.FINISHED)
    system.client.xadd(keys.FINISHED, fields, id=f"{long_ago(system.client, seconds=70)}-0")
    system.client.lpush(keys.UPKEEP_QUEUE, *(["bell"] * 31))
    record, upkeep = system.audit()
    never = "record: no worker has ever checked for results to record; "
    assert record.startswith(never + "results have waited to be recorded")
    assert upkeep.endswith("31 of its Celery tasks wait")


def test_sweeps_that_stopped_are_found(system: System) -> None:
    Sign(system.client, keys.UPKEEP_QUEUE, name="w").give()
    assert system.audit() == []
    system.client.zadd(keys.signs(keys.UPKEEP_QUEUE), {"w": long_ago(system.client, seconds=70) * 1000})
    [found] = system.audit()
    assert re.fullmatch(r"upkeep: no worker has swept \(deadlines, files, lost bells\) for 7\d s", found)


def test_overdue_webhooks_are_found(system: System, finished_record: Callable[..., dict[bytes, bytes]]) -> None:
    with system.engine.connect() as connection:
        record(connection, [finished_record(request={"webhook": {"url": "http://127.0.0.1:9/"}}) for _ in range(3)])
        assert system.audit() == []
        with connection.begin():
            connection.execute(
                text("UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp() - interval '5 minutes'")
            )
    [found] = system.audit()
    assert re.fullmatch(r"webhooks: 3 are due and nobody has tried them for 30\d s", found)
    # A running courier leaves a failing receiver alone for a while.
    Sign(system.client, keys.WEBHOOK_QUEUE, name="w").give()
    assert system.audit() == []
