"""Figures by version of a model, from counters that upkeep keeps of all predictions.

Triggers of the table `predictions` write the ids of new rows to `report_pending`, in the same commit, and subtract
deleted rows from `report_counters`. `count_pending` moves pending ids into the counters: the ids leave in the commit
that counts their rows, so that each row is counted exactly once, whoever is killed whenever. A read adds what is
pending, so it is exact at once. Counters are kept for each five minutes of the ids' time, which is the submissions'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import ModelName, Owner, first_uuid7
from shared.domain.version_figures import Figure, FigureCount, VersionFigures, figures_of

BUCKET: Final = timedelta(minutes=5)
FIRST_WEEK: Final = timedelta(days=7)
MOST_PENDING: Final = 100_000
"""Pending rows that a read adds, 5 µs each; usually a sweep has left fewer."""
# Taken by whatever changes counters, so that a row is either pending or counted for all of them. Another number than
# the migrations': "counters" in ASCII.
LOCK: Final = int.from_bytes(b"counters", "big")

_KEY: Final = "at, model, owner, version, variant"


def _latency(milliseconds: str) -> str:
    return f"CASE WHEN computed THEN ceil(ln(least(greatest({milliseconds}, 0.001), 1e9)) / ln(1.05::float8))::int END"


def counts_of(rows: str) -> str:
    """Return SQL that counts these rows of `predictions` by bin; `rows` is what follows FROM, perhaps with a WHERE."""
    parts = " UNION ALL ".join(
        f"SELECT {_KEY}, '{figure}' AS figure, {figure}::text AS bin, count(*) AS n FROM facts "  # noqa: S608
        f"WHERE {figure} IS NOT NULL GROUP BY {_KEY}, {figure}"
        for figure in Figure
    )
    return f"""
        WITH facts AS MATERIALIZED (
            SELECT to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 300000 * 300) AS at,
                   model, owner, version, variant, concat_ws(' ', status, source, error_code) AS outcome,
                   {_latency("queue_ms")} AS queue, {_latency("predict_ms")} AS predict,
                   {_latency("(extract(epoch FROM completed_at - created_at) * 1000)::float8")} AS total,
                   CASE WHEN classified AND jsonb_typeof(output->'confidence') = 'number'
                        THEN greatest(0, least(19, floor((output->>'confidence')::numeric * 20)))::int
                   END AS confidence,
                   CASE WHEN classified THEN left(output->>'predicted_class', 200) END AS class
            FROM (
                SELECT *, status = 'succeeded' AND source = 'model' AS computed,
                       status = 'succeeded' AND jsonb_typeof(output->'predicted_class') = 'string' AS classified
                FROM {rows}
            ) AS counted
        ) {parts}
    """  # noqa: S608  the texts are our own


def _oldest_pending(rows: str) -> str:
    """Return SQL of the oldest entries: so many rows, or a few more; of at most 5,000 commits."""
    return f"""
        SELECT number, ids FROM (
            SELECT number, ids, sum(cardinality(ids)) OVER (ORDER BY number) - cardinality(ids) AS before
            FROM (SELECT number, ids FROM report_pending ORDER BY number LIMIT 5000) AS oldest
        ) AS numbered
        WHERE before < {rows}
    """  # noqa: S608  the texts are our own


_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")

_COUNT_PENDING = text(f"""
    WITH taken AS (
        DELETE FROM report_pending WHERE number IN (SELECT number FROM ({_oldest_pending(":rows")}) AS oldest)
        RETURNING ids
    ), fresh AS (
        {counts_of("predictions WHERE id IN (SELECT unnest(ids) FROM taken)")}
    ), added AS (
        INSERT INTO report_counters AS known ({_KEY}, figure, bin, n)
        SELECT {_KEY}, figure, bin, n FROM fresh ORDER BY {_KEY}, figure, bin
        ON CONFLICT ({_KEY}, figure, bin) DO UPDATE SET n = known.n + excluded.n
    )
    SELECT coalesce(sum(cardinality(ids)), 0) FROM taken
""")  # noqa: S608  the texts are our own
"""Counts the rows of the oldest pending ids and takes the ids away. Ids whose rows are deleted count nothing."""

_WANTED: Final = """
    model = :model AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    AND (:any_version OR version = ANY(CAST(:versions AS text[])))
"""

_READ = text(f"""
    WITH pending AS (
        SELECT unnest(ids) AS id FROM ({_oldest_pending(":pending")}) AS oldest
    ), edges AS (
        {
    counts_of(f"predictions WHERE {_WANTED} AND ((id >= :since AND id < :whole) OR (id >= :rest AND id < :until))")
}
    ), fresh AS (
        {counts_of(f"predictions WHERE id IN (SELECT id FROM pending WHERE id >= :whole AND id < :rest) AND {_WANTED}")}
    )
    SELECT version, variant, figure, bin, sum(n)::bigint AS n FROM (
        SELECT version, variant, figure, bin, n FROM report_counters
        WHERE {_WANTED} AND at >= :first AND at < :last
        UNION ALL SELECT version, variant, figure, bin, n FROM edges
        UNION ALL SELECT version, variant, figure, bin, n FROM fresh
    ) AS counts
    GROUP BY version, variant, figure, bin
""")  # noqa: S608  the texts are our own
"""Adds up whole buckets' counters, pending rows of whole buckets, and the rows of parts of buckets at both ends. It is
one statement, so all are of the same snapshot."""

_UNCOUNTED = text(f"""
    SELECT coalesce(sum(cardinality(ids)), 0) FROM report_pending
    WHERE number > (SELECT max(number) FROM ({_oldest_pending(":pending")}) AS oldest)
""")  # noqa: S608  the texts are our own
"""Counts the pending ids that a read leaves out."""

_FIRST = text(f"""
    SELECT least(
        (SELECT min(at) FROM report_counters WHERE {_WANTED}),
        (SELECT min(created_at) FROM predictions WHERE id IN (
            SELECT unnest(ids) FROM ({_oldest_pending(":pending")}) AS oldest
        ) AND {_WANTED})
    )
""")  # noqa: S608  the texts are our own
"""Finds when the oldest prediction on record of a model was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstWeek:
    """Classes predicted in a model's first week on record, by all its versions that answer."""

    since: datetime
    until: datetime
    classes: dict[str, int]


def count_pending(connection: Connection, *, rows: int) -> int:
    """Count the oldest so many pending rows, or a few more; return the number, 0 while another process does it."""
    with connection.begin():
        if not connection.scalar(_TRY_LOCK, {"lock": LOCK}):
            return 0
        return connection.scalar(_COUNT_PENDING, {"rows": rows}) or 0


def read_version_figures(
    connection: Connection,
    model: ModelName,
    *,
    since: datetime,
    until: datetime | None = None,
    owner: Owner | None = None,
    versions: Sequence[str] = (),
) -> dict[tuple[str, str], VersionFigures]:
    """Return a model's figures by (version, variant), of what was submitted from `since` on, and before `until`.

    `owner` limits them to an owner's predictions, `versions` to these versions. Exact but for what `uncounted` says.
    """
    end = until or datetime.now(UTC) + timedelta(days=1)
    whole = _bucket(since + BUCKET - timedelta(microseconds=1))
    rest = max(min(whole, end), _bucket(end))
    arguments = _wanted(model, owner, versions) | {
        "since": _first_id(since),
        "whole": _first_id(min(whole, end)),
        "rest": _first_id(rest),
        "until": _first_id(end),
        "first": whole,
        "last": rest,
    }
    return figures_of(
        FigureCount(version=row.version, variant=row.variant, figure=Figure(row.figure), bin=row.bin, count=row.n)
        for row in connection.execute(_READ, arguments)
    )


def uncounted(connection: Connection) -> int:
    """Return the number of recorded predictions that figures leave out: those that wait to be counted, but the oldest.

    Zero unless upkeep has been away, or the database was upgraded a moment ago.
    """
    return connection.scalar(_UNCOUNTED, {"pending": MOST_PENDING}) or 0


def read_first_week(connection: Connection, model: ModelName, *, owner: Owner | None = None) -> FirstWeek | None:
    """Return the classes of a model's first week on record; None where nothing is on record."""
    first = connection.scalar(_FIRST, _wanted(model, owner, ()))
    if first is None:
        return None
    since = _bucket(first)
    until = since + FIRST_WEEK
    classes: dict[str, int] = {}
    for (_, variant), figures in read_version_figures(connection, model, since=since, until=until, owner=owner).items():
        if variant != "shadow":
            for name, count in figures.classes.items():
                classes[name] = classes.get(name, 0) + count
    return FirstWeek(since=since, until=until, classes=classes)


def _wanted(model: ModelName, owner: Owner | None, versions: Sequence[str]) -> dict[str, object]:
    return {
        "model": model,
        "owner": owner,
        "any_version": not versions,
        "versions": list(versions),
        "pending": MOST_PENDING,
    }


def _bucket(instant: datetime) -> datetime:
    """Return the start of the bucket that an instant is in."""
    return datetime.fromtimestamp(instant.timestamp() // BUCKET.total_seconds() * BUCKET.total_seconds(), UTC)


def _first_id(instant: datetime) -> str:
    return first_uuid7(max(0.0, instant.timestamp() * 1000))
