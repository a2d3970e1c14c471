"""Finds predictions by their metadata: each row compared, or all rows by the index on metadata where few match."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, Text, cast, literal, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError

from shared.domain.identifiers import PredictionId
from shared.domain.prediction_filter import MetadataCondition
from shared.storage.tables import predictions

PATIENCE: Final = timedelta(milliseconds=500)
"""How long the index is asked: it has 10,000 matches of ten million rows in 20 ms of CPU, but must read all of them."""
_CANCELED: Final = "57014"


class MetadataSearch:
    """Asks the index on metadata; where that took too long, not again: one object for one page."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._patience = patience
        self._is_slow = False

    def find(
        self,
        connection: Connection,
        wanted: Sequence[MetadataCondition],
        conditions: Sequence[ColumnElement[bool]],
        *,
        limit: int,
    ) -> list[PredictionId] | None:
        """Return the newest `limit` ids that meet all conditions, those on metadata included; None where many match."""
        if self._is_slow:
            return None
        row = predictions.c
        indexed = [row.metadata != text("'{}'"), *(_contains(one) for one in wanted)]
        # OFFSET 0: else Postgres may walk an index in the order of the ids, past millions of rows.
        matching = select(row.id).where(*indexed, *conditions).offset(0).subquery()
        query = select(matching.c.id).order_by(matching.c.id.desc()).limit(limit)
        # Rolled back in any case: the limit on time ends with it, and nothing was written.
        savepoint = connection.begin_nested()
        try:
            milliseconds = self._patience // timedelta(milliseconds=1)
            connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
            return [PredictionId(id) for id in connection.execute(query).scalars()]
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _CANCELED:
                raise
            self._is_slow = True
            return None
        finally:
            if not connection.invalidated:
                savepoint.rollback()


def has_member(wanted: MetadataCondition) -> ColumnElement[bool]:
    """Return the condition that metadata have a member with one of the values."""
    return predictions.c.metadata[wanted.name].in_([_json(value) for value in wanted.values])


def _contains(wanted: MetadataCondition) -> ColumnElement[bool]:
    """Return what `has_member` implies and the index on metadata answers."""
    return or_(*(predictions.c.metadata.contains(_json({wanted.name: value})) for value in wanted.values))


def _json(value: Any) -> ColumnElement[Any]:
    return cast(literal(orjson.dumps(value).decode(), Text), JSONB)
