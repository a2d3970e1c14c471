"""Reads reports on a model: figures by version, feedback, and what the shadow answered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import Connection, text

from shared.domain.identifiers import ModelName, Owner, first_uuid7
from shared.domain.model_report import Judged, ModelReport, ShadowAgreement, absolute_error, is_right, make_report
from shared.domain.statistics import wilson_interval
from shared.storage.version_figures import (
    MOST_SHADOWS,
    SHADOWS_VERSIONS,
    read_first_week,
    read_version_figures,
    uncounted,
)

MOST_LABELLED: Final = 100_000
"""Labelled predictions that a report reads, the newest: about 10 µs each."""
MOST_IDS: Final = 20
"""Predictions that a report names where the shadow disagrees, the newest."""

_FEEDBACK_SINCE: Final = """
    SELECT DISTINCT ON (prediction_id) prediction_id, label, value FROM feedback
    WHERE prediction_id >= :since AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    ORDER BY prediction_id DESC, id DESC
"""
# What is compared with feedback, without the scores of a thousand classes: of 100,000 rows they would be gigabytes.
_ANSWER: Final = """CAST(jsonb_build_object(
    'predicted_class', {0}->'predicted_class', 'predicted_classes', {0}->'predicted_classes', 'values', {0}->'values'
) AS text)"""
_OF_VERSION: Final = "(:any_version OR {}.version = ANY(CAST(:versions AS text[])))"

_LABELLED = text(f"""
    WITH told AS MATERIALIZED (
        SELECT last.prediction_id, label, value, image_sha256, p.version, p.variant, p.status,
               {_ANSWER.format("p.output")} AS output
        FROM ({_FEEDBACK_SINCE}) AS last JOIN predictions AS p ON p.id = last.prediction_id
        WHERE p.model = :model
        LIMIT :most
    )
    SELECT prediction_id::text AS id, image_sha256, version, variant, label, value, output FROM told
    WHERE status = 'succeeded' AND {_OF_VERSION.format("told")}
    UNION ALL
    SELECT told.prediction_id::text, image_sha256, s.version, s.variant, label, value, {_ANSWER.format("s.output")}
    FROM told JOIN shadow_predictions AS s ON s.prediction_id = told.prediction_id
    WHERE s.status = 'succeeded' AND {_OF_VERSION.format("s")}
""")  # noqa: S608  the texts are our own
"""Reads answers to images with feedback: the predictions' own and the shadow's. Of each prediction the last counts."""

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
    arguments = _arguments(model, since, owner, versions) | {"most": MOST_LABELLED}
    return [
        Judged(
            digest=row.image_sha256,
            id=row.id,
            version=row.version,
            variant=row.variant,
            is_right=is_right(answer := orjson.loads(row.output), label=row.label, value=row.value),
            error=absolute_error(answer, row.value),
        )
        for row in connection.execute(_LABELLED, arguments)
    ]


def read_shadow_agreement(
    connection: Connection,
    model: ModelName,
    *,
    since: datetime,
    owner: Owner | None = None,
    versions: Sequence[str] = (),
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
