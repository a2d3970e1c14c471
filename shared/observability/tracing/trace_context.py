"""W3C Trace Context (level 1): reads `traceparent` and `tracestate`, and writes them for the next hop.

A *trace* in Darkroom's data is one text: the `traceparent`, and behind a space the `tracestate` where there is one. It
names the span that what follows belongs to. Uses the standard library alone: it is needed where tracing is off, too.
"""

import re
from collections.abc import Iterable
from typing import Final

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
LONGEST_STATE: Final = 512
"""Characters of a `tracestate` that are carried on; the recommendation asks for no more. A longer one is left out."""

# Version, trace id, span id, flags; a later version may have more behind them. Ids of zeros name nothing.
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY: Final = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_VALUE: Final = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
# With space around it, or nothing but that: an empty member is valid. One match of all is faster than one of each.
_MEMBER: Final = rb"[ \t]*+(?:" + _KEY + rb"=" + _VALUE + rb"[ \t]*+)?"
_MEMBERS: Final = re.compile(_MEMBER + rb"(?:," + _MEMBER + rb")*+")
_MOST_MEMBERS: Final = 32


def read_trace(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the trace that a request's headers name; None where there is none, or one that is malformed.

    Never raises: a malformed `traceparent` is ignored with its `tracestate`, as the recommendation says.
    """
    parents = [value for name, value in headers if name == TRACEPARENT]
    if len(parents) != 1 or (found := _TRACEPARENT.fullmatch(parents[0].strip())) is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more):
        return None
    # Flags that are not known, `sampled` and `random` are, must not be carried on.
    parent = f"00-{trace_id.decode()}-{span_id.decode()}-{int(flags, 16) & 3:02x}"
    states = [value for name, value in headers if name == TRACESTATE]
    state = _read_state(b",".join(states)) if 0 < len(states) <= _MOST_MEMBERS else ""
    return f"{parent} {state}" if state else parent


def _read_state(given: bytes) -> str:
    """Return a valid `tracestate` as it is passed on; empty where it is too long, or any member is malformed."""
    if len(given) > LONGEST_STATE or not _MEMBERS.fullmatch(given):
        return ""
    members = [member for one in given.split(b",") if (member := one.strip(b" \t"))]
    # A key that stands twice is malformed, too.
    keys = {member.partition(b"=")[0] for member in members}
    return b",".join(members).decode("ascii") if len(keys) == len(members) <= _MOST_MEMBERS else ""


def trace_headers(trace: str) -> dict[str, str]:
    """Return a trace as the headers of an HTTP request."""
    parent, _, state = trace.partition(" ")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def trace_id(trace: str) -> str:
    """Return the id of the trace, 32 hexadecimal digits."""
    return trace[3:35]


def span_id(trace: str) -> str:
    """Return the id of the span, 16 hexadecimal digits."""
    return trace[36:52]
