"""Parses one line of a log: Darkroom's own, as JSON or text, or Celery's, Flower's, Postgres', Redis', MLflow's."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_SEVERE: Final = frozenset({"warning", "error", "critical", "fatal", "panic"})
_STANDARD: Final = frozenset({"time", "level", "event", "logger", "exception"})
# What tells one line from its likes: without these, the same trouble many times is one line of `status`.
_OF_ONE: Final = frozenset({"request_id", "prediction_id", "batch_id", "trace_id", "span_id", "milliseconds"})
_OF_ONE_READABLE: Final = re.compile(rf"(?:^|\s)(?:{'|'.join(sorted(_OF_ONE))})=\S*")
_REASONS: Final = ("error", "reason", "detail", "how")
"""Fields of Darkroom's own lines that say why, the most specific first."""

# `12:00:01 WARNING ended program=redis`
_READABLE: Final = re.compile(r"(?P<at>\d\d:\d\d:\d\d) (?P<level>[A-Z]+) +(?P<event>\S+) ?(?P<reason>.*)")
# Tornado: `[E 261125 05:00:39 events:228] Failed to capture events`
_TORNADO: Final = re.compile(r"\[(?P<level>[A-Z]) (?P<at>\d{6} \d\d:\d\d:\d\d) [^\]]*\] (?P<event>.*)")
# `5303:M 25 Nov 2026 05:00:40.315 # Error accepting a connection`; # is its highest level, also that of its greeting.
_REDIS: Final = re.compile(r"\d+:[A-Z] (?P<at>\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d)\S* (?P<level>\S) (?P<event>.*)")
_REDIS_SEVERE: Final = re.compile(r"warning|error|fail|can't|cannot|denied|corrupt|crash", re.IGNORECASE)
# Postgres and MLflow: `2026-11-25 04:56:52.424 UTC [2358] FATAL:  no`, `2026/11/25 04:52:13 WARNING mlflow.store: no`
_DATED: Final = re.compile(
    r"(?P<at>\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d)\S*(?: (?P<zone>\S+) \[\d+\])? (?P<level>[A-Z]+):? +(?P<event>.*)"
)
# Uvicorn: `ERROR:    Exception in ASGI application`
_BARE: Final = re.compile(r"(?P<level>[A-Z]+): +(?P<event>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A parsed line; `at` is None where it has no time."""

    at: datetime | None
    is_severe: bool
    event: str
    reason: str = ""


def read_line(text: str, *, changed: datetime) -> Line | None:
    """Parse a line; None where no known format matches. `changed` is when its log was written last."""
    if text.startswith("{"):
        return _json(text)
    for form, read in _FORMS:
        if found := form.match(text):
            return read(found, changed)
    return None


def _json(text: str) -> Line | None:
    try:
        facts = json.loads(text)
        at = datetime.fromisoformat(facts["time"])
        # Python's own warnings are for programmers.
        is_severe = _is_severe(facts["level"]) and facts.get("logger") != "py.warnings"
        return Line(at=at, is_severe=is_severe, event=str(facts["event"]), reason=_reason(facts))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _reason(facts: dict[str, Any]) -> str:
    """Return the reason: the exception's message, else the field that says it, else all fields."""
    raised = [line for line in str(facts.get("exception", "")).splitlines() if line.strip()]
    if raised:
        return raised[-1]
    reason = next((str(facts[name]) for name in _REASONS if facts.get(name)), "")
    return reason or " ".join(f"{name}={value}" for name, value in facts.items() if name not in _STANDARD | _OF_ONE)


def _readable(found: re.Match[str], changed: datetime) -> Line:
    at = _local(f"{changed.astimezone():%Y-%m-%d} {found['at']}", "%Y-%m-%d %H:%M:%S")
    # The line has no date: take the latest possible. Rounding may put it a moment after `changed`.
    if at is not None and at > changed + timedelta(minutes=1):
        at -= timedelta(days=1)
    reason = _OF_ONE_READABLE.sub("", found["reason"]).strip()
    return Line(at=at, is_severe=_is_severe(found["level"]), event=found["event"], reason=reason)


def _tornado(found: re.Match[str], _: datetime) -> Line:
    return Line(at=_local(found["at"], "%y%m%d %H:%M:%S"), is_severe=found["level"] in "WEC", event=found["event"])


def _redis(found: re.Match[str], _: datetime) -> Line:
    is_severe = found["level"] == "#" and _REDIS_SEVERE.search(found["event"]) is not None
    return Line(at=_local(found["at"], "%d %b %Y %H:%M:%S"), is_severe=is_severe, event=found["event"])


def _dated(found: re.Match[str], _: datetime) -> Line:
    at = _local(found["at"].replace("/", "-"), "%Y-%m-%d %H:%M:%S")
    if at is not None and found["zone"] in ("UTC", "GMT"):
        at = at.replace(tzinfo=UTC)
    return Line(at=at, is_severe=_is_severe(found["level"]), event=found["event"])


def _bare(found: re.Match[str], _: datetime) -> Line:
    return Line(at=None, is_severe=_is_severe(found["level"]), event=found["event"])


def _local(text: str, form: str) -> datetime | None:
    """Parse a time in this machine's zone; None where it is not valid."""
    try:
        return datetime.strptime(text, form).astimezone()
    except ValueError:
        return None


def _is_severe(level: str) -> bool:
    return level.lower() in _SEVERE


_FORMS: Final[Sequence[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Line]]]] = (
    (_READABLE, _readable),
    (_TORNADO, _tornado),
    (_REDIS, _redis),
    (_DATED, _dated),
    (_BARE, _bare),
)
