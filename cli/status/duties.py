"""Asks the gateway whether the work of record, webhooks and upkeep is done."""

import http.client
from collections.abc import Mapping
from typing import Any, NamedTuple

from cli.stack import probes
from cli.stack.supervisor.state import StackState

READY = "ready"
# From the gateway's names to the rows of `status`: upkeep is shown at beat, which schedules it.
_ROWS: Mapping[str, str] = {"record": "record", "webhooks": "webhooks", "upkeep": "beat"}


class Duty(NamedTuple):
    """Whether a role's work is done: `ready`, `late` or `missing`, and what is wrong."""

    state: str
    detail: str


def ask_gateway(stack: StackState) -> dict[str, Duty]:
    """Return the roles that are late or missing, by row of `status`; none where the gateway does not answer."""
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
