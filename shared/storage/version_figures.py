"""Figures by version of a model, from counters that upkeep keeps of all predictions.

Triggers of the table `predictions` write the ids of new rows to `report_pending`, in the same commit, and subtract
deleted rows from `report_counters`. `count_pending` moves pending ids into the counters: the ids leave in the commit
that counts their rows, so that each row is counted exactly once, whoever is killed whenever. A read adds what is
pending, so it is exact at once. Counters are kept for each five minutes of the ids' time, which is the submissions'.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import ModelName, Owner, first_uuid7
from shared.domain.model_report import FirstWeek
from shared.domain.version_figures import Figure, FigureCount, VersionFigures, figures_of
from shared.storage.report_days import LOCK, TRY_LOCK, counters_between

BUCKET: Final = timedelta(minutes=5)
FIRST_WEEK: Final = timedelta(days=7)
MOST_PENDING: Final = 100_000
"""Pending rows that a read adds, 5 µs each; usually a sweep has left fewer."""
MOST_SHADOWS: Final = 100_000
"""Shadow predictions of a version that a read counts, the newest, 5 µs each: they have no counters of their own."""

_KEY: Final = "at, model, owner, version, variant"


def _latency(milliseconds: str) -> str:
    # Without a value there is none to count: GREATEST would take the other.
    logarithm = f"ln(least(greatest({milliseconds}, 0.001), 1e9))"
    return f"CASE WHEN computed AND {milliseconds} IS NOT NULL THEN ceil({logarithm} / ln(1.05::float8))::int END"


_FACTS: Final = {
    Figure.OUTCOME: "concat_ws(' ', status, source, error_code)",
    Figure.QUEUE: _latency("queue_ms"),
    Figure.PREDICT: _latency("predict_ms"),
    Figure.TOTAL: _latency("(extract(epoch FROM completed_at - created_at) * 1000)::float8"),
    Figure.CONFIDENCE: """CASE WHEN classified AND jsonb_typeof(output->'confidence') = 'number'
        THEN greatest(0, least(19, floor((output->>'confidence')::numeric * 20)))::int END""",
    Figure.CLASS: "CASE WHEN classified THEN left(output->>'predicted_class', 200) END",
}
_AT: Final = "to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 300000 * 300) AS at"


def _facts_of(rows: str, key: str, figures: Sequence[Figure]) -> str:
    """Return SQL of the bins of each of these rows."""
    facts = ", ".join(f'{_FACTS[figure]} AS "{figure}"' for figure in figures)
    return f"""
        SELECT {key}, {facts} FROM (
            SELECT *, status = 'succeeded' AND source = 'model' AS computed,
                   status = 'succeeded' AND jsonb_typeof(output->'predicted_class') = 'string' AS classified
            FROM {rows}
        ) AS counted
    """  # noqa: S608  the texts are our own


def counts_of(rows: str) -> str:
    """Return SQL that counts these rows of `predictions` by bin; `rows` is what follows FROM, perhaps with a WHERE."""
    parts = " UNION ALL ".join(
        f"SELECT {_KEY}, '{figure}' AS figure, {figure}::text AS bin, count(*) AS n FROM facts "  # noqa: S608
        f"WHERE {figure} IS NOT NULL GROUP BY {_KEY}, {figure}"
        for figure in Figure
    )
    facts = _facts_of(rows, f"{_AT}, model, owner, version, variant", [*Figure])
    return f"WITH facts AS MATERIALIZED ({facts}) {parts}"


def _oldest_pending(rows: str) -> str:
    """Return SQL of the oldest entries: so many rows, or a few more; of at most 5,000 commits."""
    return f"""
        SELECT number, ids FROM (
            SELECT number, ids, sum(rows) OVER (ORDER BY number) - rows AS before
            FROM (SELECT number, ids, rows FROM report_pending ORDER BY number LIMIT 5000) AS oldest
        ) AS numbered
        WHERE before < {rows}
    """  # noqa: S608  the texts are our own


_COUNT_PENDING = text(f"""
    WITH taken AS (
        DELETE FROM report_pending WHERE number IN (SELECT number FROM ({_oldest_pending(":rows")}) AS oldest)
        RETURNING ids, rows
    ), fresh AS (
        {counts_of("predictions WHERE id IN (SELECT unnest(ids) FROM taken)")}
    ), added AS (
        INSERT INTO report_counters AS known ({_KEY}, figure, bin, n)
        SELECT {_KEY}, figure, bin, n FROM fresh ORDER BY {_KEY}, figure, bin
        ON CONFLICT ({_KEY}, figure, bin) DO UPDATE SET n = known.n + excluded.n
    )
    SELECT coalesce(sum(rows), 0) FROM taken
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
        SELECT * FROM ({counters_between(_WANTED)}) AS counted
        UNION ALL SELECT version, variant, figure, bin, n FROM edges
        UNION ALL SELECT version, variant, figure, bin, n FROM fresh
    ) AS counts
    GROUP BY version, variant, figure, bin
""")  # noqa: S608  the texts are our own
"""Adds up whole buckets' counters (of a day at once where it is summed), pending rows of whole buckets, and the rows of
parts of buckets at both ends. It is one statement, so all are of the same snapshot."""

SHADOWS_VERSIONS: Final = """WITH RECURSIVE served AS (
        (SELECT version FROM shadow_predictions WHERE model = :model ORDER BY version LIMIT 1)
        UNION ALL
        SELECT next.version FROM served CROSS JOIN LATERAL (
            SELECT version FROM shadow_predictions WHERE model = :model AND version > served.version
            ORDER BY version LIMIT 1
        ) AS next
    )"""
"""Begins a query with `served`, the versions that a model's shadow had: found by an index, one step each."""

_SHADOW_FIGURES: Final = (Figure.OUTCOME, Figure.PREDICT, Figure.CONFIDENCE, Figure.CLASS)
_SHADOW_BINS: Final = ", ".join(_SHADOW_FIGURES)
_NEWEST_SHADOWS: Final = f"""(
    {SHADOWS_VERSIONS}
    SELECT newest.version, variant, status, 'model' AS source, error_code, output, predict_ms
    FROM served CROSS JOIN LATERAL (
        SELECT * FROM shadow_predictions AS one
        WHERE one.model = :model AND one.version = served.version AND prediction_id >= :since
          AND prediction_id < :until AND (CAST(:owner AS text) IS NULL OR owner = :owner)
        ORDER BY prediction_id DESC LIMIT :shadows
    ) AS newest
    WHERE :any_version OR newest.version = ANY(CAST(:versions AS text[]))
) AS shadows"""  # noqa: S608  the texts are our own

_SHADOWS = text(f"""
    WITH facts AS MATERIALIZED (
        SELECT version, variant, {_SHADOW_BINS}, count(*) AS n
        FROM ({_facts_of(_NEWEST_SHADOWS, "version, variant", _SHADOW_FIGURES)} OFFSET 0) AS each
        GROUP BY version, variant, {_SHADOW_BINS}
    )
    {
    " UNION ALL ".join(
        f"SELECT version, variant, '{figure}' AS figure, {figure}::text AS bin, sum(n)::bigint AS n FROM facts "
        f"WHERE {figure} IS NOT NULL GROUP BY version, variant, {figure}"
        for figure in _SHADOW_FIGURES
    )
}
""")  # noqa: S608  the texts are our own
"""Counts each version's newest shadow predictions: first those alike in all figures, which are few, then by figure."""

_UNCOUNTED = text(f"""
    SELECT coalesce(sum(rows), 0) FROM report_pending
    WHERE number > (SELECT max(number) FROM ({_oldest_pending(":pending")}) AS oldest)
""")  # noqa: S608  the texts are our own
"""Counts the pending ids that a read leaves out."""

_MOMENT: Final = "to_timestamp(('x' || translate(left({}, 13), '-', ''))::bit(48)::bigint / 1000.0)"

_FIRST = text(f"""
    SELECT least(
        (SELECT min(at) FROM report_counters WHERE {_WANTED}),
        (SELECT {_MOMENT.format("min(id::text)")} FROM predictions WHERE id IN (
            SELECT unnest(ids) FROM ({_oldest_pending(":pending")}) AS oldest
        ) AND {_WANTED})
    )
""")  # noqa: S608  the texts are our own
"""Finds when the oldest prediction on record of a model was submitted, by its id."""


_NTH_NEWEST = text(f"""
    SELECT {_MOMENT.format("id::text")} FROM predictions ORDER BY id DESC OFFSET :rows LIMIT 1
""")  # noqa: S608
"""Finds when the prediction was submitted that so many others are newer than."""

_WRONG = text(f"""
    WITH rows AS (
        {counts_of("predictions WHERE id >= :first_id AND id NOT IN (SELECT unnest(ids) FROM report_pending)")}
    ), counters AS (
        SELECT {_KEY}, figure, bin, n FROM report_counters WHERE at >= :first
    )
    SELECT {_KEY}, figure, bin, coalesce(rows.n, 0) AS expected, coalesce(counters.n, 0) AS found
    FROM rows FULL JOIN counters USING ({_KEY}, figure, bin)
    WHERE rows.n IS DISTINCT FROM counters.n
    ORDER BY {_KEY}, figure, bin
    LIMIT 100
""")  # noqa: S608  the texts are our own
"""Compares counters with rows, but for pending ones. It is one statement, so all are of the same snapshot."""


def wrong_counters(connection: Connection, *, rows: int = 200_000) -> list[str]:
    """Return a sentence for each counter that is not what the newest rows say; only buckets read whole are compared."""
    last = connection.scalar(_NTH_NEWEST, {"rows": rows})
    first = datetime.fromtimestamp(0, UTC) if last is None else _bucket(last) + BUCKET
    return [
        f"report on {row.model}: {row.found} predictions of version {row.version} ({row.variant}) "
        f"at {row.at.astimezone(UTC)} are counted as {row.figure} {row.bin}, and there are {row.expected}"
        for row in connection.execute(_WRONG, {"first": first, "first_id": _first_id(first)})
    ]


def count_pending(connection: Connection, *, rows: int) -> int:
    """Count the oldest so many pending rows, or a few more; return the number, 0 while another process does it."""
    with connection.begin():
        if not connection.scalar(TRY_LOCK, {"lock": LOCK}):
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
    with_shadow: bool = True,
) -> dict[tuple[str, str], VersionFigures]:
    """Return a model's figures by (version, variant), of what was submitted from `since` on, and before `until`.

    `owner` and `versions` limit them to an owner's predictions and to these versions. Exact but for what `uncounted`
    says, and for the variant `shadow`, of which each version's newest MOST_SHADOWS are counted (without `with_shadow`
    none).
    """
    end = until or datetime.now(UTC) + timedelta(days=1)
    since = min(since, end)  # the year 9999 has no bucket after it
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
    rows = [*connection.execute(_READ, arguments)]
    if with_shadow:
        rows += connection.execute(_SHADOWS, arguments | {"shadows": MOST_SHADOWS})
    return figures_of(
        FigureCount(version=row.version, variant=row.variant, figure=Figure(row.figure), bin=row.bin, count=row.n)
        for row in rows
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
    found = read_version_figures(connection, model, since=since, until=until, owner=owner, with_shadow=False)
    for figures in found.values():
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
