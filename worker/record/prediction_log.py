"""One JSON line about each prediction that ended, for Filebeat, Fluent Bit or a BigQuery loader to take as it is.

Every line has the same members, and no member is named by a class or by what people send: probabilities are a list. A
line is written once its row is committed, and again where a recorder is killed before it has let go of the record, so
it comes at least once; `prediction_id` tells two apart.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any, Final, TextIO

import orjson

from shared.domain.job_request import JobRequest
from shared.settings import Logging, SettingsError

log = logging.getLogger(__name__)

STANDARD_OUTPUT: Final = "-"


class _SaysSo(logging.Handler):
    """Says in a line, not with all the lines it could not write, that it could not."""

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802  the library's name
        """Log the error in hand."""
        log.error("predictions_not_logged", extra={"error": str(sys.exc_info()[1])})


class _File(_SaysSo, RotatingFileHandler):
    """A file that is put aside when it has grown."""


class _Output(_SaysSo, logging.StreamHandler[TextIO]):
    """Standard output."""


class PredictionLog:
    """Where the lines go; from any thread. A disk that is full costs lines, no predictions."""

    def __init__(self, settings: Logging) -> None:
        """Open it; raises SettingsError where it can't be written."""
        self._handler = _handler(settings)
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, together."""
        if lines:
            text = b"\n".join(lines).decode()
            self._handler.handle(logging.LogRecord(__name__, logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Let go of the file."""
        self._handler.close()


def _handler(settings: Logging) -> logging.Handler:
    if settings.predictions == STANDARD_OUTPUT:
        return _Output(sys.stdout)
    try:
        return _File(settings.predictions, maxBytes=settings.predictions_max_bytes, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"DARKROOM_LOG_PREDICTIONS: {error.strerror} ({settings.predictions!r})") from None


def line(record: Mapping[bytes, bytes], request: JobRequest) -> bytes:
    """Return the line of one record of the finished stream; `request` is what the record has under that name."""
    created, started, completed = (int(record.get(name) or 0) for name in (b"created", b"started", b"completed"))
    return orjson.dumps(
        {
            "time": datetime.fromtimestamp(completed / 1_000_000, UTC),
            "event": "prediction",
            "prediction_id": _text(record, b"id"),
            "request_id": request.request_id,
            "batch_id": _text(record, b"batch"),
            "owner": _text(record, b"owner"),
            "model": request.model or None,
            "version": request.version or None,
            "variant": request.variant or None,
            "status": _text(record, b"state"),
            "source": _text(record, b"source"),
            "image_sha256": request.image.sha256,
            "output": _output(record.get(b"output")),
            "error_code": _text(record, b"code"),
            "error": _text(record, b"error"),
            "attempts": int(record.get(b"attempts") or 0),
            "queue_ms": (started - created) / 1000 if started else None,
            "latency_ms": (completed - created) / 1000,
        },
        option=orjson.OPT_UTC_Z,
    )


def _text(record: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Return a field as text; None where it is empty."""
    value = record.get(name)
    return value.decode(errors="replace") if value else None


def _output(output: bytes | None) -> dict[str, Any] | None:
    """Return the output, its probabilities as a list: a loader makes a column of every name it meets.

    None as well for one that Postgres was not given either, because it is no JSON.
    """
    try:
        members = orjson.loads(output or b"null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(members, dict):
        return None
    probabilities = members.get("probabilities")
    if isinstance(probabilities, dict):
        named = [{"class": name, "probability": value} for name, value in probabilities.items()]
        return members | {"probabilities": named}
    return members
