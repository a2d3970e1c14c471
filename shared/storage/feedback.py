"""Feedback in Postgres: any number of answers for a prediction, of which the last counts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, Row, select, text

from shared.domain.feedback import Answer, Feedback
from shared.domain.identifiers import BatchId, FeedbackId, Owner, PredictionId
from shared.storage.tables import feedback

KEY_DIGEST: Final = 64
"""Hexadecimal digits of an idempotency key's digest."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('feedback'), hashtext(:owner))")
"""Waits until no other transaction gives feedback of this owner's: what counts is compared and inserted in one step."""

_GIVEN = """
    jsonb_to_recordset(CAST(:given AS jsonb)) AS given (
        number integer, prediction_id uuid, label text, value jsonb, boxes jsonb, comment text, by text, key text,
        is_recorded boolean, url text, facts jsonb
    )
"""
_SAME = """
    ({0}.label, {0}.value, {0}.boxes, {0}.comment, {0}.by)
    IS NOT DISTINCT FROM (given.label, given.value, given.boxes, given.comment, given.by)
"""

_KNOWN = text(f"""
    SELECT given.number, keyed.id::text AS keyed, keyed.prediction_id = given.prediction_id AND {_SAME.format("keyed")}
           AS keyed_is_same, counts.id::text AS counts, counts.id IS NOT NULL AND {_SAME.format("counts")} AS is_same,
           later.id::text AS later
    FROM {_GIVEN}
    LEFT JOIN LATERAL (
        SELECT * FROM feedback AS one
        WHERE one.owner BETWEEN :owner AND :owner AND one.key BETWEEN given.key AND given.key
        ORDER BY one.owner, one.key LIMIT 1
    ) AS keyed ON true
    LEFT JOIN LATERAL (
        SELECT * FROM feedback AS one
        WHERE one.prediction_id BETWEEN given.prediction_id AND given.prediction_id
        ORDER BY one.prediction_id DESC, one.id DESC LIMIT 1
    ) AS counts ON true
    LEFT JOIN LATERAL (
        SELECT id FROM feedback AS one
        WHERE one.owner BETWEEN :owner AND :owner AND one.key > given.key
          AND one.key <= left(given.key, {KEY_DIGEST}) || ' 9999999999'
          AND left(one.key, {KEY_DIGEST}) = left(given.key, {KEY_DIGEST})
        ORDER BY one.owner, one.key LIMIT 1
    ) AS later ON true
""")  # noqa: S608  the text is our own
"""Reads, for each given answer, the row under its idempotency key, the row that counts now, and a row that a later line
of the same file made: its key has the same digest and a higher number.

Each of them is one step in an index: BETWEEN, where = says the same, asks for an order that no other index has.
While the table has no statistics, or old ones, Postgres took others, and read all rows of the owner for each line.
"""

_INSERT = text(f"""
    WITH locked AS (
        SELECT id FROM predictions
        WHERE owner = :owner AND id IN (SELECT prediction_id FROM {_GIVEN} WHERE is_recorded)
        ORDER BY id FOR KEY SHARE
    ), told AS (
        SELECT given.*, darkroom_uuid7() AS id FROM {_GIVEN}
        WHERE NOT is_recorded OR prediction_id IN (SELECT id FROM locked)
        ORDER BY number
    ), inserted AS (
        INSERT INTO feedback (id, prediction_id, owner, label, value, boxes, comment, by, key)
        SELECT id, prediction_id, :owner, label, value, boxes, comment, by, key FROM told
        RETURNING *
    ), announced AS (
        INSERT INTO webhook_deliveries (owner, subject, kind, event, url, trace, body)
        SELECT :owner, id, 'feedback', 'feedback', told.url, :trace, told.facts || jsonb_build_object(
            'type', 'feedback', 'id', id, 'prediction_id', inserted.prediction_id, 'label', inserted.label,
            'value', inserted.value, 'boxes', inserted.boxes, 'comment', inserted.comment, 'by', inserted.by,
            'created_at', to_char(inserted.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        FROM told JOIN inserted USING (id) WHERE told.url IS NOT NULL
        ON CONFLICT (subject, event) DO NOTHING
    )
    SELECT told.number, told.id::text FROM told
""")  # noqa: S608
"""Inserts answers, and the webhook deliveries that announce them. A recorded prediction is locked, so that retention
does not delete it at this moment; one that is gone gets none."""

_ITEMS = text("""
    SELECT id::text, custom_id, status, model, version, variant, webhook,
           CASE WHEN pg_column_size(output) <= 8192 OR jsonb_typeof(output) <> 'object' THEN output
                ELSE (SELECT jsonb_object_agg(key, CASE
                          WHEN key = 'values' THEN value
                          WHEN jsonb_typeof(value) = 'object' THEN '{}'
                          WHEN jsonb_typeof(value) = 'array' THEN '[]'
                          WHEN jsonb_typeof(value) = 'string' THEN '""'
                          ELSE 'null' END) FROM jsonb_each(output))
           END AS output
    FROM predictions WHERE id = ANY(CAST(:ids AS uuid[])) AND owner = :owner
      AND (CAST(:batch AS uuid) IS NULL OR batch_id = CAST(:batch AS uuid))
""")
"""Reads what checking an answer needs of predictions: an output may have megabytes, of which its form is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer for one prediction. `is_recorded`: the prediction was read from Postgres, not from Redis.

    `url` is the webhook to tell, with `facts` in the body beside the feedback; `key` an idempotency key's digest of
    KEY_DIGEST digits. Lines of a file are given in order and may name a prediction again: there it is the digest of the
    file's key and the prediction's id, a space, and the line's number in ten digits.
    """

    prediction_id: PredictionId
    answer: Answer
    is_recorded: bool
    key: str | None = None
    url: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


Became = Literal["created", "unchanged", "mismatch", "gone"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a given answer, and the id of its row.

    `created`: a row was inserted. `unchanged`: it is what counts already, or was given under the same key before.
    `mismatch`: the key belongs to another answer, which made the row `id`. `gone`: the prediction was just deleted.
    """

    became: Became
    id: FeedbackId | None


_GONE: Final = Taken("gone", None)
_COLUMNS: Final = [feedback.c[column.name] for column in fields(Feedback)]


def give_feedback(
    connection: Connection, owner: Owner, given: Sequence[Given], *, trace: str | None = None
) -> list[Taken]:
    """Commit answers for predictions of `owner`'s, in their order; return what became of each.

    One prediction may have several: each is compared with the one before it. Safe twice: an answer that counts already
    makes no row. The caller has checked that the predictions are the owner's.
    `trace` is the span of the request that gives them, which goes on to their webhooks.
    """
    with connection.begin():
        connection.execute(_LOCK, {"owner": owner})
        known = connection.execute(_KNOWN, {"given": _as_json(enumerate(given)), "owner": owner}).all()
        taken, new, repeated = _compare(given, {row.number: row for row in known})
        if new:
            arguments = {"given": _as_json((number, given[number]) for number in new), "owner": owner, "trace": trace}
            rows = connection.execute(_INSERT, arguments)
            taken |= {row.number: Taken("created", FeedbackId(row.id)) for row in rows}
    for number, (first, became) in repeated.items():
        if first in taken:
            taken[number] = Taken(became, taken[first].id)
    return [taken.get(number, _GONE) for number in range(len(given))]


def _compare(
    given: Sequence[Given], known: Mapping[int, Row[Any]]
) -> tuple[dict[int, Taken], list[int], dict[int, tuple[int, Became]]]:
    """Return by number what became of answers that rows know, the numbers of new ones, and those that repeat a new one.

    The last are by number, with the number of the new one and what becomes of them.
    """
    taken: dict[int, Taken] = {}
    new: list[int] = []
    repeated: dict[int, tuple[int, Became]] = {}
    last: dict[PredictionId, int] = {}
    keyed: dict[str, int] = {}
    for number, one in enumerate(given):
        row = known[number]
        under_key, before = keyed.get(one.key or ""), last.get(one.prediction_id)
        if row.keyed is not None:
            taken[number] = Taken("unchanged" if row.keyed_is_same else "mismatch", FeedbackId(row.keyed))
        elif under_key is not None:
            repeated[number] = (under_key, "unchanged" if _is_same(given[under_key], one) else "mismatch")
        elif row.later is not None:
            # A retry: lines are given in order, so this one was given before that one, and made no row then.
            taken[number] = Taken("unchanged", FeedbackId(row.later))
        elif before is not None and _is_same(given[before], one):
            repeated[number] = (before, "unchanged")
        elif before is None and row.is_same:
            taken[number] = Taken("unchanged", FeedbackId(row.counts))
        else:
            new.append(number)
            last[one.prediction_id] = number
            if one.key:
                keyed[one.key] = number
    return taken, new, repeated


def _is_same(one: Given, other: Given) -> bool:
    texts = {orjson.dumps(each.answer.members(), option=orjson.OPT_SORT_KEYS) for each in (one, other)}
    return one.prediction_id == other.prediction_id and len(texts) == 1


def find_feedback(connection: Connection, id: FeedbackId, owner: Owner) -> Feedback | None:
    """Return one of the owner's rows."""
    query = select(*_COLUMNS).where(feedback.c.id == id, feedback.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Feedback(**row)


def list_feedback(
    connection: Connection, owner: Owner, *, prediction: PredictionId, before: str | None, limit: int
) -> list[Feedback]:
    """Return up to `limit` answers for a prediction, the one that counts first; with `before`, those older than it."""
    query = select(*_COLUMNS).where(feedback.c.prediction_id == prediction, feedback.c.owner == owner)
    if before is not None:
        query = query.where(feedback.c.id < before)
    rows = connection.execute(query.order_by(feedback.c.id.desc()).limit(limit)).mappings()
    return [Feedback(**row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What checking an answer needs of a recorded prediction; a large `output` has only the form of its members."""

    id: PredictionId
    custom_id: str | None
    status: str
    output: Any
    model: str
    version: str
    variant: str
    webhook: dict[str, Any] | None


def read_judged(
    connection: Connection, owner: Owner, ids: Iterable[PredictionId], *, batch: BatchId | None
) -> dict[PredictionId, Judged]:
    """Return those of the predictions that are recorded and the owner's, and of `batch` where that is given."""
    rows = connection.execute(_ITEMS, {"ids": list(ids), "owner": owner, "batch": batch}).mappings()
    return {row["id"]: Judged(**row) for row in rows}


def _as_json(given: Iterable[tuple[int, Given]]) -> str:
    """Return answers as JSON; members without a value are left out and become NULL."""
    return orjson.dumps(
        [
            {"number": number, "prediction_id": one.prediction_id, "is_recorded": one.is_recorded}
            | one.answer.members()
            | ({"key": one.key} if one.key else {})
            | ({"url": one.url, "facts": one.facts} if one.url else {})
            for number, one in given
        ]
    ).decode()
