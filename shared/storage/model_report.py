"""Reads reports on a model: figures by version, feedback, and what the shadow answered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, text

from shared.domain.identifiers import ModelName, Owner, first_uuid7
from shared.domain.model_report import Judged, ModelReport, ShadowAgreement, absolute_error, is_right, make_report
from shared.domain.model_route import SHADOW
from shared.domain.statistics import wilson_interval
from shared.storage.judged_feedback import answer_of
from shared.storage.version_figures import (
    MOST_SHADOWS,
    SHADOWS_VERSIONS,
    read_first_week,
    read_version_figures,
    uncounted,
)

MOST_LABELLED: Final = 100_000
"""Labelled predictions that a report reads, the newest."""
MOST_IDS: Final = 20
"""Predictions that a report names where the shadow disagrees, the newest."""

_TOLD: Final = """
    SELECT DISTINCT ON (prediction_id) * FROM feedback
    WHERE prediction_id >= :since AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    ORDER BY prediction_id DESC, id DESC
"""
_OF_VERSION: Final = "(:any_version OR {}.version = ANY(CAST(:versions AS text[])))"
# Two answers that agree are both right or both wrong, and of two that do not, one at most is right.
_FOLLOWS: Final = (
    "coalesce({shadow}.agrees AND {told}.is_right IS NOT NULL OR {told}.is_right AND NOT {shadow}.agrees, false)"
)

_LABELLED = text(f"""
    {SHADOWS_VERSIONS}, told AS MATERIALIZED (
        SELECT prediction_id, label, value, is_right, last.error, coalesce(last.version, p.version) AS version,
               coalesce(last.variant, p.variant) AS variant, coalesce(last.status, p.status) AS status,
               coalesce(last.image_sha256, p.image_sha256) AS image_sha256,
               CASE WHEN last.model IS NULL THEN {answer_of("p.output")} END AS output
        FROM ({_TOLD}) AS last
        LEFT JOIN predictions AS p ON p.id = CASE WHEN last.model IS NULL THEN last.prediction_id END
        WHERE coalesce(last.model, p.model) = :model
        LIMIT :most
    ), shadows AS MATERIALIZED (
        SELECT told.*, one.version AS shadow, agrees, {_FOLLOWS.format(shadow="one", told="told")} AS follows
        FROM told CROSS JOIN served CROSS JOIN LATERAL (
            SELECT version, agrees FROM shadow_predictions
            WHERE model = :model AND version = served.version AND prediction_id = told.prediction_id
            OFFSET 0
        ) AS one
        WHERE {_OF_VERSION.format("one")}
    )
    SELECT image_sha256, prediction_id::text AS id, version, variant, is_right, error, output, label, value FROM told
    WHERE status = 'succeeded' AND {_OF_VERSION.format("told")}
    UNION ALL
    SELECT image_sha256, prediction_id::text, shadow, :shadow, is_right AND agrees, NULL, NULL, NULL, NULL
    FROM shadows WHERE follows
    UNION ALL
    SELECT image_sha256, prediction_id::text, shadow, variant, NULL, NULL, one.output, label, value
    FROM (
        SELECT DISTINCT prediction_id, image_sha256, shadow, is_right, label, value FROM shadows WHERE NOT follows
    ) AS rest CROSS JOIN LATERAL (
        SELECT variant, {answer_of("s.output")} AS output FROM shadow_predictions AS s
        WHERE s.prediction_id = rest.prediction_id AND s.version = rest.shadow AND s.status = 'succeeded'
          AND NOT {_FOLLOWS.format(shadow="s", told="rest")}
        OFFSET 0
    ) AS one
""")  # noqa: S608  the texts are our own
"""Reads answers to images with feedback: the predictions' own and the shadow's. Of each prediction the last counts.

Rows with an `output` are not judged yet. A judged one's shadow is judged by whether both agree, which an index has.
"""

_AGREEMENT = text(f"""
    {SHADOWS_VERSIONS}
    SELECT served.version, count(*) FILTER (WHERE agrees) AS agreed, count(*) FILTER (WHERE NOT agrees) AS differed,
           count(*) FILTER (WHERE agrees IS NULL) AS other,
           (
               array_agg(prediction_id::text ORDER BY prediction_id DESC) FILTER (WHERE NOT agrees)
           )[1:CAST(:ids AS integer)] AS ids
    FROM served CROSS JOIN LATERAL (
        SELECT prediction_id, agrees FROM shadow_predictions AS one
        WHERE one.model = :model AND one.version = served.version AND prediction_id >= :since
          AND (CAST(:owner AS text) IS NULL OR owner = :owner)
        ORDER BY prediction_id DESC LIMIT :most
    ) AS newest
    WHERE :any_version OR served.version = ANY(CAST(:versions AS text[]))
    GROUP BY served.version ORDER BY served.version
""")  # noqa: S608  the texts are our own
"""Compares each version's newest shadow predictions."""


def read_model_report(
    connection: Connection, model: ModelName, *, since: datetime, owner: Owner | None, versions: Sequence[str] = ()
) -> ModelReport:
    """Return a report on what was submitted since then, of one owner or of all; `versions` limits it to these."""
    return make_report(
        model,
        since,
        figures=read_version_figures(connection, model, since=since, owner=owner, versions=versions).values(),
        first_week=read_first_week(connection, model, owner=owner),
        judged=read_judged(connection, model, since=since, owner=owner, versions=versions),
        shadows=read_shadow_agreement(connection, model, since=since, owner=owner, versions=versions),
        uncounted=uncounted(connection),
    )


def read_judged(
    connection: Connection,
    model: ModelName,
    *,
    since: datetime,
    owner: Owner | None = None,
    versions: Sequence[str] = (),
) -> list[Judged]:
    """Return the answered images that have feedback, of the newest MOST_LABELLED predictions that have it."""
    arguments = _arguments(model, since, owner, versions) | {"most": MOST_LABELLED, "shadow": SHADOW}
    return [_judged(row) for row in connection.execute(_LABELLED, arguments)]


def _judged(row: Sequence[Any]) -> Judged:
    digest, id, version, variant, right, error, output, label, value = row
    if output is not None:
        answer = orjson.loads(output)
        right, error = is_right(answer, label=label, value=value), absolute_error(answer, value)
    return Judged(digest, id, version, variant, right, error)


def read_shadow_agreement(
    connection: Connection,
    model: ModelName,
    *,
    since: datetime,
    owner: Owner | None = None,
    versions: Sequence[str],
) -> list[ShadowAgreement]:
    """Return by version how often the shadow agreed with the champion, in its newest MOST_SHADOWS answers."""
    found = []
    for row in connection.execute(
        _AGREEMENT, _arguments(model, since, owner, versions) | {"most": MOST_SHADOWS, "ids": MOST_IDS}
    ):
        low, high = wilson_interval(row.agreed, row.agreed + row.differed)
        found.append(
            ShadowAgreement(
                version=row.version,
                compared=row.agreed + row.differed,
                agreed=row.agreed,
                not_comparable=row.other,
                low=low,
                high=high,
                ids=tuple(row.ids or ()),
            )
        )
    return found


def _arguments(model: ModelName, since: datetime, owner: Owner | None, versions: Sequence[str]) -> dict[str, object]:
    return {
        "model": model,
        "since": first_uuid7(max(0.0, since.timestamp() * 1000)),
        "owner": owner,
        "any_version": not versions,
        "versions": list(versions),
    }
