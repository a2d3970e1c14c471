"""A report on a day of many predictions, and what its counters cost upkeep and the recorder.

The rows are made in Postgres; the stack's own upkeep worker counts them. The recorder's cost is that of its code in
this process and of its Postgres connection, in a database of its own, without and with the trigger in turns.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson
import psutil
from sqlalchemy import Connection, Engine, make_url, text

from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Workbench, WrongResult
from shared.domain.identifiers import new_uuid7
from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.recording import record

DEEPEST: Final = 10_000_000
REQUESTS: Final = 5
_CHUNK: Final = 100_000
_COMMIT: Final = 500
"""Records in one commit of the recorder's."""
_TURN: Final = 40 * _COMMIT
_HOURS: Final = 23
"""The rows are of the last so many hours, so that all are within a report's day."""
# Ids as UUIDs version 7 of their time. One in fifty failed; version 2 is the challenger of one in ten.
_FILL: Final = """
    INSERT INTO predictions (
        id, owner, model, version, version_key, variant, status, source, image_sha256, image, output, error, error_code,
        attempts, created_at, started_at, completed_at, queue_ms, predict_ms, batch_size, worker, metadata, base_url
    )
    SELECT (lpad(to_hex((extract(epoch FROM made) * 1000)::bigint), 12, '0') || '70008000' ||
            lpad(to_hex(n), 12, '0'))::uuid,
           'default', %(model)s, CASE WHEN n %% 10 = 0 THEN '2' ELSE '1' END,
           CASE WHEN n %% 10 = 0 THEN '2-m-2' ELSE '1-m-1' END,
           CASE WHEN n %% 10 = 0 THEN 'challenger' ELSE 'champion' END,
           CASE WHEN n %% 50 = 7 THEN 'failed' ELSE 'succeeded' END, 'model', md5(n::text) || md5(n::text),
           '{"format": "PNG", "width": 32, "height": 32, "bytes": 1600, "filename": null}',
           CASE WHEN n %% 50 <> 7 THEN jsonb_build_object(
               'predicted_class', class::text, 'predicted_index', class, 'confidence', confidence, 'probabilities',
               jsonb_build_object(class::text, confidence, ((class + 1) %% 10)::text, 1 - confidence)
           ) END,
           CASE WHEN n %% 50 = 7 THEN 'the model failed' END, CASE WHEN n %% 50 = 7 THEN 'model_error' END,
           1, made, made + queue * interval '1 ms', made + (queue + predict) * interval '1 ms', queue, predict, 8,
           'worker', '{}', 'http://127.0.0.1'
    FROM (
        SELECT n, now() - %(age)s::interval * (1 - n::float8 / %(rows)s) AS made, n * 7 %% 10 AS class,
               0.5 + random() / 2 AS confidence, 1 - ln(1 - random()) AS queue, 2 - ln(1 - random()) AS predict
        FROM generate_series(%(first)s, %(last)s) AS n
    ) AS numbered
"""
_SHADOWS: Final = """
    INSERT INTO shadow_predictions (
        prediction_id, version_key, owner, model, version, variant, status, output, agrees, predict_ms, created_at
    )
    SELECT id, '3-m-3', owner, model, '3', 'shadow', 'succeeded', CASE WHEN agrees THEN output ELSE jsonb_set(
               output, '{predicted_class}', to_jsonb(((output->>'predicted_index')::integer + 1) %% 10 || '')
           ) END, agrees, 3.0, created_at
    FROM (
        SELECT *, random() < 0.97 AS agrees FROM predictions
        WHERE variant = 'champion' AND status = 'succeeded' AND right(id::text, 1) = '1'
    ) AS shadowed
"""
_FEEDBACK: Final = """
    INSERT INTO feedback (prediction_id, owner, label)
    SELECT id, owner, output ->> 'predicted_class' FROM predictions
    WHERE status = 'succeeded' AND right(id::text, 2) = '11'
"""
_TRIGGER: Final = """
    CREATE TRIGGER note_new_predictions AFTER INSERT ON predictions REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION darkroom_note_new_predictions()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """Seconds of each report, the first one among them, and microseconds of processor time a row.

    `counting`: of the record role, which runs upkeep, and of Postgres until all rows were counted. `without` and
    `noted`: the recorder's, by turn, without and with the trigger.
    """

    rows: int
    shadows: int
    labels: int
    counters: int
    seconds: list[float]
    counted_after: float
    counting: float
    without: list[float]
    noted: list[float]


def measure(bench: Workbench, stack: Stack) -> Reported:
    """Make the rows, let them be counted, ask for the report; then record in turns."""
    rows = bench.amounts.report_rows
    with stack.connected() as cursor:
        for first in range(1, rows + 1, _CHUNK):
            last = min(rows, first + _CHUNK - 1)
            cursor.execute(
                _FILL, {"model": stack.model, "rows": rows, "first": first, "last": last, "age": f"{_HOURS} hours"}
            )
        bench.say("  counting")
        counted_after, counting = _count(stack, cursor)
        cursor.execute(_SHADOWS, {})
        cursor.execute(_FEEDBACK)
        _judge(cursor)
        shadows, labels, counters = (
            _number(cursor, f"SELECT count(*) FROM {table}")  # noqa: S608  our own words
            for table in ("shadow_predictions", "feedback", "report_counters")
        )
        cursor.execute("VACUUM ANALYZE shadow_predictions, feedback")
        cursor.execute("ANALYZE")
    bench.say("  reports")
    seconds = _report(stack, rows=rows)
    bench.say(f"  {', '.join(f'{one:.2f}' for one in seconds)} s; recording without and with the trigger")
    without, noted = _record_in_turns(stack, turns=bench.amounts.report_turns)
    return Reported(
        rows=rows,
        shadows=shadows,
        labels=labels,
        counters=counters,
        seconds=seconds,
        counted_after=counted_after,
        counting=counting,
        without=without,
        noted=noted,
    )


def _count(stack: Stack, cursor: Any) -> tuple[float, float]:
    """Wait until upkeep has counted all that is pending; return the seconds, and microseconds of processor a row."""
    pending = "SELECT coalesce(sum(rows), 0) FROM report_pending"
    rows, before, began = _number(cursor, pending), stack.spent(), time.monotonic()
    limit = 120 + rows / 5_000
    ended = servers.wait_until(lambda: not _number(cursor, pending), limit=limit, pause=0.2, what="counted rows")
    after = stack.spent()
    spent = sum(after[role] - before[role] for role in ("postgres", "record"))
    return ended - began, spent * 1e6 / max(1, rows)


def _judge(cursor: Any) -> None:
    """Wait until upkeep has judged all feedback."""
    unjudged = "SELECT count(*) FROM feedback WHERE model IS NULL"
    limit = 120 + _number(cursor, unjudged) / 1_000
    servers.wait_until(lambda: not _number(cursor, unjudged), limit=limit, pause=0.2, what="judged feedback")


def _report(stack: Stack, *, rows: int) -> list[float]:
    """Ask for the day's report several times; return the seconds of each. Raises WrongResult where it miscounts."""
    seconds = []
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=60) as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answer = client.get(f"/v1/models/{stack.model}/report?since=1d")
            seconds.append(time.perf_counter() - began)
            if not answer.is_success:
                raise WrongResult(f"the report answered {answer.status_code}: {answer.text[:300]}")
            report = answer.json()
            counted = sum(one["count"] for one in report["versions"] if one["variant"] != "shadow")
            if counted != rows or report["uncounted"]:
                raise WrongResult(f"a report counts {counted} of {rows} predictions, {report['uncounted']} uncounted")
    return seconds


def _record_in_turns(stack: Stack, *, turns: int) -> tuple[list[float], list[float]]:
    """Return the recorder's microseconds a row by turn, without the trigger and with it."""
    name = "recorded_in_turns"
    with stack.connected() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    url = make_url(stack.database_url).set(database=name).render_as_string(hide_password=False)
    upgrade(url)
    engine = make_engine(Database(url=url))
    without: list[float] = []
    noted: list[float] = []
    try:
        _recorded(engine, stack.model)  # warms up
        for _ in range(turns):
            _execute(engine, "DROP TRIGGER note_new_predictions ON predictions")
            without.append(_recorded(engine, stack.model))
            _execute(engine, _TRIGGER)
            noted.append(_recorded(engine, stack.model))
            _execute(engine, "TRUNCATE report_pending")
    finally:
        engine.dispose()
    return without, noted


def _recorded(engine: Engine, model: str) -> float:
    """Record rows as the recorder does; return microseconds of processor time a row, Postgres' connection included."""
    commits = [[_finished(model) for _ in range(_COMMIT)] for _ in range(_TURN // _COMMIT)]
    with engine.connect() as connection:
        backend = _backend(connection)
        before = time.process_time() + _spent(backend)
        for records in commits:
            if record(connection, records).inserted != _COMMIT:
                raise WrongResult("a record has no row")
        return (time.process_time() + _spent(backend) - before) * 1e6 / _TURN


def _finished(model: str) -> dict[bytes, bytes]:
    """Return an entry of the finished stream."""
    now = time.time_ns() // 1000
    return {
        b"id": new_uuid7().encode(),
        b"state": b"succeeded",
        b"owner": b"default",
        b"request": orjson.dumps(
            {
                "model": model,
                "version": "1",
                "version_key": "1-m-1",
                "variant": "champion",
                "image": {"sha256": "ab" * 32, "format": "PNG", "width": 32, "height": 32, "bytes": 1600},
                "metadata": {},
                "base_url": "http://127.0.0.1",
            }
        ),
        b"created": str(now - 5_000).encode(),
        b"started": str(now - 3_000).encode(),
        b"completed": str(now).encode(),
        b"source": b"model",
        b"output": orjson.dumps(
            {
                "predicted_class": "7",
                "predicted_index": 7,
                "confidence": 0.9,
                "probabilities": {str(number): 0.9 if number == 7 else 0.01 for number in range(10)},
            }
        ),
        b"attempts": b"1",
        b"run": orjson.dumps({"predict_ms": 2.5, "batch_size": 8, "worker": "worker"}),
    }


def _backend(connection: Connection) -> psutil.Process:
    """Return the server's process of a connection."""
    pid: int = connection.scalar(text("SELECT pg_backend_pid()")) or 0
    connection.rollback()
    return psutil.Process(pid)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def _number(cursor: Any, query: str) -> int:
    cursor.execute(query)
    return int(cursor.fetchone()[0])
