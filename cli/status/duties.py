"""What a running gateway says of the roles beside predicting: whether somebody does their work."""

import http.client
from collections.abc import Mapping
from typing import Any, NamedTuple

from cli.stack import probes
from cli.stack.supervisor.state import StackState

READY = "ready"
# As the gateway names them, and the row that shows them: sweeps are what beat is there for.
_ROWS: Mapping[str, str] = {"record": "record", "webhooks": "webhooks", "upkeep": "beat"}


class Duty(NamedTuple):
    """How a role does its work: `ready`, `late` or `missing`, and what is wrong."""

    state: str
    detail: str


def ask_gateway(stack: StackState) -> dict[str, Duty]:
    """Return what is wrong, by the row that shows it; nothing where the gateway does not say. Never raises."""
    try:
        answer = probes.fetch(f"{stack.url}/health/ready")
    except (OSError, http.client.HTTPException):
        return {}
    body: Any = answer.body if isinstance(answer.body, dict) else {}
    return {
        _ROWS[one["role"]]: Duty(one["state"], one["detail"])
        for one in body.get("roles", ())
        if one["role"] in _ROWS and one["state"] != READY
    }
