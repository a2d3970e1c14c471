"""The prediction log: one JSON line for each prediction that ended, for Filebeat, Fluent Bit or a BigQuery loader.

Every line has the same members, and none is named by a class or by anything that people send: probabilities, scores
and values are lists, and the object of a `json` model is a text. A line is written once the prediction's row is
committed, and again if the recorder is killed before it has settled the record. So each comes at least once;
`prediction_id` identifies duplicates.
"""

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any, Final, TextIO

import orjson

from shared.domain.output_form import task_of_output
from shared.domain.pipeline import PIPELINE
from shared.domain.task import Task
from shared.observability.tracing.trace_context import trace_id
from shared.settings import Logging, SettingsError
from worker.record.ended import Ended

log = logging.getLogger(__name__)

STANDARD_OUTPUT: Final = "-"
LONGEST_OUTPUT: Final = 65_536
"""Bytes of an output that a line has, so that lines stay below what readers of logs take; rows have every output."""


class _LogsFailure(logging.Handler):
    """Logs one line if lines can't be written, instead of printing a traceback with all of them."""

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802  the library's name
        """Log the error that is being handled."""
        log.error("predictions_not_logged", extra={"error": str(sys.exc_info()[1])})


class _File(_LogsFailure, RotatingFileHandler):
    """A file that is rotated at its maximum size."""


class _Output(_LogsFailure, logging.StreamHandler[TextIO]):
    """Standard output."""


class PredictionLog:
    """Where the lines are written; usable from any thread. A full disk costs lines, but no predictions."""

    def __init__(self, settings: Logging) -> None:
        """Open the file; raises SettingsError if it can't be written."""
        self._handler = _handler(settings)
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, lines: Sequence[bytes]) -> None:
        """Write all the lines at once."""
        if lines:
            text = b"\n".join(lines).decode()
            self._handler.handle(logging.LogRecord(__name__, logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


def _handler(settings: Logging) -> logging.Handler:
    if settings.predictions == STANDARD_OUTPUT:
        return _Output(sys.stdout)
    try:
        return _File(settings.predictions, maxBytes=settings.predictions_max_bytes, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"DARKROOM_LOG_PREDICTIONS: {error.strerror} ({settings.predictions!r})") from None


def prediction_line(ended: Ended) -> bytes:
    """Return the line of one prediction that ended."""
    request, created, started, completed = ended.request, ended.created, ended.started, ended.completed
    return orjson.dumps(
        {
            "time": datetime.fromtimestamp(completed / 1_000_000, UTC),
            "event": "prediction",
            "prediction_id": ended.id,
            "request_id": request.request_id,
            "trace_id": trace_id(request.trace) if request.trace else None,
            "batch_id": ended.batch,
            "owner": ended.owner,
            "model": request.model or None,
            "version": request.version or None,
            "variant": request.variant or None,
            "status": ended.state,
            "source": ended.source,
            "image_sha256": request.image.sha256,
            "output": _output(ended.output),
            "error_code": ended.code,
            "error": ended.error,
            "attempts": ended.attempts,
            "queue_ms": (started - created) / 1000 if started else None,
            "latency_ms": (completed - created) / 1000,
        },
        option=orjson.OPT_UTC_Z,
    )


def _output(output: bytes | None) -> dict[str, Any] | None:
    """Return the output without members of the model's naming, because a loader makes a column of every name it meets.

    Of one longer than LONGEST_OUTPUT only its length. None if it is no JSON object; Postgres does not get that either.
    """
    if output and len(output) > LONGEST_OUTPUT:
        return {"left_out_bytes": len(output)}
    try:
        members = orjson.loads(output or b"null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(members, dict):
        return None
    if isinstance(pipeline := members.pop(PIPELINE, None), dict):
        return _unnamed(members) | {PIPELINE: _unnamed_steps(pipeline)}
    return _unnamed(members)


Members = dict[str, Any]


def _unnamed_steps(value: Any) -> Any:
    """Return a part of a pipeline's steps with the outputs in it as `_unnamed` returns them."""
    if isinstance(value, list):
        return [_unnamed_steps(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _unnamed(one) if name == "output" and isinstance(one, dict) else _unnamed_steps(one)
        for name, one in value.items()
    }


def _unnamed(members: Members) -> Members:
    """Return one model's output without members of its naming."""
    if "predicted_class" in members and isinstance(probabilities := members.get("probabilities"), dict):
        named = [{"class": name, "probability": value} for name, value in probabilities.items()]
        return members | {"probabilities": named}
    return _LOGGED.get(task_of_output(members), _unchanged)(members)


def _multilabel(output: Members) -> Members:
    return output | {"scores": [{"class": name, "score": score} for name, score in output["scores"].items()]}


def _regression(output: Members) -> Members:
    units = output.get("units") or {}
    values = output["values"].items()
    return {"values": [{"name": name, "value": value, "unit": units.get(name)} for name, value in values]}


def _json(output: Members) -> Members:
    return {"json": orjson.dumps(output).decode()}


def _unchanged(output: Members) -> Members:
    return output


_LOGGED: Final = {Task.MULTILABEL: _multilabel, Task.REGRESSION: _regression, Task.JSON: _json}
