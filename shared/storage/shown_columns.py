"""Columns of `predictions` as readers of many rows take them: an output whose mask is large comes without that."""

from typing import Any, Final

from sqlalchemy import ColumnElement, case, func, literal, true, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from shared.domain.large_masks import LARGEST_INLINE, LEFT_OUT, MASK
from shared.storage.tables import predictions

_COMPRESSED: Final = 8192
"""Bytes that an output with a large mask takes at least, compressed by Postgres; smaller ones are not read twice."""


def shown_column(name: str) -> ColumnElement[Any]:
    """Return a column; `output` without a large mask, with LEFT_OUT in its place."""
    column: ColumnElement[Any] = predictions.c[name]
    if name != "output":
        return column
    without = column.op("-")(literal(MASK)).op("||")(func.jsonb_build_object(LEFT_OUT, true()))
    has_large_mask = func.length(column.op("->>")(literal(MASK))) > LARGEST_INLINE
    # One CASE in the other: only they keep Postgres from reading the output before its size was compared.
    shown = case(
        (func.pg_column_size(column) > _COMPRESSED, case((has_large_mask, without), else_=column)), else_=column
    )
    return type_coerce(shown, JSONB).label(name)
