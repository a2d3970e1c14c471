"""Adds up the reports' counters by day (UTC), so that a report on months reads hundreds of rows for a day, not 60,000.

A day that is in `report_days` has its sums in `report_day_counters`. Triggers of `report_counters` delete both in the
commit that changes a counter of that day (a row that comes late, or is deleted), so sums that are there are right,
whoever is killed whenever; a read takes the other days' counters of five minutes, and upkeep adds those days up again.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import ModelName

DAY: Final = timedelta(days=1)
# Taken by whatever changes counters, so that a row is either pending or counted for all of them. Another number than
# the migrations': "counters" in ASCII.
LOCK: Final = int.from_bytes(b"counters", "big")
TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:lock)")
_DAY_OF: Final = "date_bin('24 hours', {}, timestamptz 'epoch')"
_KEY: Final = "owner, version, variant, figure, bin"


def counters_between(wanted: str) -> str:
    """Return SQL of the counters of a model from the bucket :first on and before :last, by day where it is summed.

    `wanted` is a condition for the columns of `report_counters` that names the model as :model.
    """
    return f"""
        WITH gaps AS (
            SELECT coalesce(lag(at) OVER (ORDER BY at) + interval '24 hours', :first) AS since, at AS until
            FROM (
                SELECT at FROM report_days
                WHERE model = :model AND at >= :first AND at <= CAST(:last AS timestamptz) - interval '24 hours'
                UNION ALL SELECT CAST(:last AS timestamptz)
            ) AS summed
        )
        SELECT version, variant, figure, bin, n FROM report_day_counters
        WHERE {wanted} AND at >= :first AND at <= CAST(:last AS timestamptz) - interval '24 hours'
        UNION ALL
        SELECT version, variant, figure, bin, n FROM gaps CROSS JOIN LATERAL (
            SELECT version, variant, figure, bin, n FROM report_counters
            WHERE {wanted} AND at >= gaps.since AND at < gaps.until
            OFFSET 0
        ) AS apart
        WHERE gaps.since < gaps.until
    """  # noqa: S608  the texts are our own


_UNSUMMED = text(f"""
    WITH RECURSIVE found AS (
        (SELECT model, {_DAY_OF.format("at")} AS day FROM report_counters ORDER BY model, at LIMIT 1)
        UNION ALL
        SELECT next.model, next.day FROM found CROSS JOIN LATERAL (
            SELECT model, {_DAY_OF.format("at")} AS day FROM report_counters
            WHERE (model, at) >= (found.model, found.day + interval '24 hours') ORDER BY model, at LIMIT 1
        ) AS next
    )
    SELECT model, day FROM found
    WHERE day < :before AND NOT EXISTS (SELECT 1 FROM report_days AS known WHERE (known.model, known.at) = (model, day))
    ORDER BY day DESC
""")  # noqa: S608  the texts are our own
"""Finds days that have counters and no sums: one step in the index for each day of each model."""

_SUM = text(f"""
    WITH noted AS (
        INSERT INTO report_days (model, at) VALUES (:model, :day) ON CONFLICT DO NOTHING RETURNING model, at
    )
    INSERT INTO report_day_counters (model, at, {_KEY}, n)
    SELECT noted.model, noted.at, {_KEY}, sum(n) FROM noted CROSS JOIN LATERAL (
        SELECT {_KEY}, n FROM report_counters
        WHERE model = :model AND at >= :day AND at < CAST(:day AS timestamptz) + interval '24 hours'
    ) AS counters
    GROUP BY noted.model, noted.at, {_KEY}
""")  # noqa: S608  the texts are our own

_WRONG = text(f"""
    WITH counted AS (
        SELECT model, {_DAY_OF.format("at")} AS at, {_KEY}, sum(n) AS n FROM report_counters
        WHERE at >= :since GROUP BY 1, 2, {_KEY}
    ), expected AS (
        SELECT * FROM counted WHERE (model, at) IN (SELECT model, at FROM report_days)
    ), found AS (
        SELECT model, at, {_KEY}, n FROM report_day_counters WHERE at >= :since
    )
    SELECT model, at, {_KEY}, coalesce(expected.n, 0) AS expected, coalesce(found.n, 0) AS found
    FROM expected FULL JOIN found USING (model, at, {_KEY})
    WHERE expected.n IS DISTINCT FROM found.n
    ORDER BY model, at, {_KEY}
    LIMIT 100
""")  # noqa: S608  the texts are our own
"""Compares sums with the counters they are of. It is one statement, so both are of the same snapshot."""


def unsummed_days(connection: Connection, *, before: datetime) -> list[tuple[ModelName, datetime]]:
    """Return models with the starts of their days that have no sums, the latest first; only days before `before`."""
    with connection.begin():
        return [(ModelName(row.model), row.day) for row in connection.execute(_UNSUMMED, {"before": before})]


def sum_day(connection: Connection, model: ModelName, day: datetime) -> bool:
    """Commit the sums of a day; return False while another process counts.

    Safe twice: a day that has its sums is left alone.
    """
    with connection.begin():
        if not connection.scalar(TRY_LOCK, {"lock": LOCK}):
            return False
        connection.execute(_SUM, {"model": model, "day": day})
        return True


def wrong_days(connection: Connection, *, days: int = 3) -> list[str]:
    """Return a sentence for each sum of the latest days that is not what its counters say."""
    since = datetime.now(UTC) - days * DAY
    since = since.replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        f"report on {row.model}: {row.found} predictions of version {row.version} ({row.variant}) on {row.at} are "
        f"summed as {row.figure} {row.bin}, and their counters say {row.expected}"
        for row in connection.execute(_WRONG, {"since": since})
    ]
