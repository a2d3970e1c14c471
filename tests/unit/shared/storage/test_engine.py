"""Connections to Postgres: what an error says of a statement."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError


def test_an_error_quotes_its_statement_and_none_of_the_parameters(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DataError) as caught:
        connection.execute(text("SELECT 1 / 0, CAST(:secret AS text)"), {"secret": "swordfish"})
    assert "SELECT 1 / 0" in str(caught.value)
    assert "swordfish" not in f"{caught.value} {caught.value!r}"
