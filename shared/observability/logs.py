"""Log lines: JSON in production, readable text in a terminal. A message is an event's name; facts are its `extra`.

Facts that many lines share (a request, a model, a batch) are bound once, where they become known.
"""

import json
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

from shared.observability.log_file import keep_bounded
from shared.observability.printable import printable, printable_lines
from shared.settings import Logging

# `redis://name:password@host`, which libraries write into their errors.
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/@\"']+@")
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn repeats its message in colours
}
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=_NOTHING)


def bind(**facts: object) -> None:
    """Add facts to every line that this thread or asyncio task writes from now on, and the tasks that it starts.

    For code with a context of its own, such as a server's request; use `bound` everywhere else.
    """
    _bound.set({**_bound.get(), **facts})


def bind_only(**facts: object) -> None:
    """Bind these facts in place of all others: a request's context may begin as a copy of another request's."""
    _bound.set(facts)


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Add facts to every line written within the block; after it, what was bound before is bound again."""
    token = _bound.set({**_bound.get(), **facts})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_facts() -> Mapping[str, object]:
    """Return the facts that are bound at this moment."""
    return _bound.get()


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """Return the bound facts and those passed as `extra`, which win."""
    extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    return {**_bound.get(), **extra}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, logger, then the facts."""

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
        return _without_credentials(_json(line))


def _json(line: Mapping[str, object]) -> str:
    """Return an object on one line, in ASCII where it has characters that a terminal would obey or nobody would see."""
    try:
        text = orjson.dumps(line, default=str).decode()
    except TypeError:  # half a surrogate pair, a number of more than 64 bits: of what clients and models send
        text = json.dumps(line, default=str, ensure_ascii=False).encode("utf-8", "replace").decode()
    return text if text.isprintable() else json.dumps(json.loads(text))


class Readable(logging.Formatter):
    """Formats a record for a terminal: `12:00:01 INFO batch_predicted model=digits size=16`.

    Whatever is in it, a record is one line, and those of its exception: nobody can write one that was never logged.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = printable(f"{time} {record.levelname:<7} {record.getMessage().strip()} {facts}".rstrip())
        if record.exc_info:
            line += f"\n{printable_lines(self.formatException(record.exc_info))}"
        return _without_credentials(line)


def _without_credentials(line: str) -> str:
    return _CREDENTIALS.sub("***@", line) if "://" in line else line


def _writes(handler: logging.Handler, form: type[logging.Formatter]) -> bool:
    """Tell whether a handler is what `configure_logging` makes for this form."""
    return (
        isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr and type(handler.formatter) is form
    )


def configure_logging(settings: Logging) -> None:
    """Send the lines of all loggers to standard error in the chosen form, and bound its file. Safe to call twice."""
    root = logging.getLogger()
    form = JsonLines if settings.format == "json" else Readable
    handlers = [one for one in root.handlers if _writes(one, form)]
    if not handlers:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[0].setFormatter(form())
    root.handlers[:] = handlers[:1]
    root.setLevel(settings.level)
    keep_bounded(settings.file)
    # Uvicorn's loggers have handlers of their own, whose lines have another form.
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(server)
        logger.handlers.clear()
        logger.propagate = True
    # Its lines hold query strings, and with them tokens. Without a handler uvicorn does not even format them.
    logging.getLogger("uvicorn.access").propagate = False
