"""Postgres connections, made from settings."""

from datetime import timedelta

import orjson
from sqlalchemy import Engine, create_engine, make_url

from shared.settings import Database


def make_engine(settings: Database, *, statement_timeout: timedelta | None = None) -> Engine:
    """Return an engine with a pool of its own; nothing connects before its first use.

    The gateway gives a `statement_timeout`, since somebody waits for the answer; a recorder gives none: a commit
    that is cancelled for being slow would come back just as slow.
    """
    seconds = max(1, round(settings.timeout.total_seconds()))
    milliseconds = timedelta(milliseconds=1)
    options = "" if statement_timeout is None else f"-c statement_timeout={statement_timeout // milliseconds}"
    return create_engine(
        make_url(settings.url).set(drivername="postgresql+psycopg2"),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=seconds,
        # A round trip of 0.08 ms a checkout, under 1% of a commit: a connection that died with the server is noticed
        # before entries are leased for it.
        pool_pre_ping=True,
        # An error's text would quote them, and it is logged: people's metadata and webhooks, signing secrets.
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": seconds,
            "client_encoding": "utf8",
            "application_name": "darkroom",
            "options": options,
            # A server that vanished from the network is given up like one that refuses (TCP only).
            "tcp_user_timeout": seconds * 1000,
        },
    )
