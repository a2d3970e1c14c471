"""How log lines look: JSON in production, readable in a terminal. Events, not sentences.

What a line is about (a request, a model, a batch) is bound once where it is known, and every line until then says it.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import orjson

from shared.settings import Logging

# `redis://name:password@host`, wherever a library says where it could not connect to.
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/@\"']+@")
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's own message once more, in colours
}
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=_NOTHING)


def bind(**facts: object) -> None:
    """Add facts to every line that this thread or asyncio task, and what it starts from now on, writes.

    For what has a context of its own, as each request of a server does; `bound` is for everything else.
    """
    _bound.set({**_bound.get(), **facts})


def bind_only(**facts: object) -> None:
    """Bind these facts and forget all others: for a request, whose context may begin as a copy of another's."""
    _bound.set(facts)


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Add facts to every line written within the block; afterwards all is as it was, whatever was bound inside."""
    token = _bound.set({**_bound.get(), **facts})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_facts() -> Mapping[str, object]:
    """Return what is bound now."""
    return _bound.get()


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """Return what is bound and what was passed as `extra`, which wins."""
    extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    return {**_bound.get(), **extra}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, logger, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            "logger": record.name,
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _without_credentials(orjson.dumps(line, default=str).decode())


class Readable(logging.Formatter):
    """`12:00:01 INFO batch_predicted model=digits size=16`, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = f"{time} {record.levelname:<7} {record.getMessage().strip()} {facts}".rstrip()
        return _without_credentials(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def _without_credentials(line: str) -> str:
    return _CREDENTIALS.sub("***@", line) if "://" in line else line


def configure_logging(settings: Logging) -> None:
    """Send every logger's lines to standard error, in the chosen form. Safe to call twice."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else Readable())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    # Uvicorn gives its own loggers handlers of their own, whose lines would look otherwise.
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(server)
        logger.handlers.clear()
        logger.propagate = True
    # It writes query strings, which hold tokens. Without anywhere to write it does not even make its lines.
    logging.getLogger("uvicorn.access").propagate = False
