"""A received webhook: what it reports, and whether its signature is right (Standard Webhooks 1.0)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

from cli.terminal.outputs import output_line

LONGEST_WORD: Final = 80


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery, in text safe to print; `doubt` says why it is not verified, empty where it is."""

    event: str
    said: str
    doubt: str


def read_delivery(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> Delivery:
    """Verify and describe a request; never raises, whatever was sent."""
    event = next((value for name, value in headers.items() if name.lower() == "webhook-id"), "")
    return Delivery(_word(event) or "no id", _description(body), _doubt(webhook, body, headers))


def _doubt(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> str:
    try:
        webhook.verify(body, dict(headers))
    except WebhookVerificationError as error:
        return str(error).lower()
    except (ValueError, RecursionError):  # invalid base64, text or JSON
        return "malformed"
    return ""


def _description(body: bytes) -> str:
    """Return the prediction or batch that a body reports, and its status."""
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError):
        return "no JSON"
    match facts:
        case {"id": id, "status": status, "request_counts": {"succeeded": succeeded, "total": total}}:
            return _words("batch", id, status, f"{succeeded} of {total} succeeded")
        case {"id": id, "status": status, "output": {"predicted_class": predicted}}:
            return _words("prediction", id, status, predicted)
        case {"id": id, "status": status, "output": dict(output)}:
            return _words("prediction", id, status, output_line(output))
        case {"id": id, "status": status}:
            return _words("prediction", id, status)
        case _:
            return "neither prediction nor batch"


def _words(*values: Any) -> str:
    return "  ".join(_word(value) for value in values)


def _word(value: Any) -> str:
    """Return a value as one short printable line: anybody may post, and a terminal obeys control characters."""
    text = str(value)[: LONGEST_WORD + 1]
    plain = "".join(character for character in text if character.isprintable())
    return plain if len(text) <= LONGEST_WORD else f"{plain[:LONGEST_WORD]}…"
