"""A webhook delivery as the HTTP API shows it, alone and with its attempts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.domain.timestamps import microseconds, rfc3339
from shared.domain.webhooks import DeliveryStatus
from shared.storage.deliveries import Delivery, Logged


def delivery_object(delivery: Delivery, *, base: str) -> dict[str, Any]:
    """Return the object of the HTTP contract."""
    url = f"{base}/v1/webhook-deliveries/{delivery.id}"
    return {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.status,
        "url": delivery.url,
        "subject": delivery.subject,
        "subject_type": delivery.kind,
        "attempt_count": delivery.attempts,
        "next_attempt_at": _instant(delivery.next_attempt_at) if delivery.status == DeliveryStatus.PENDING else None,
        "created_at": _instant(delivery.created_at),
        "delivered_at": _instant(delivery.delivered_at),
        "urls": {"get": url, "redeliver": f"{url}/redeliver"},
    }


def delivery_detail(delivery: Delivery, attempts: Sequence[Logged], *, base: str) -> dict[str, Any]:
    """Return the object with its attempts."""
    made = [
        {
            "started_at": _instant(attempt.started_at),
            "duration_ms": attempt.duration_ms,
            "status": attempt.status,
            "error": attempt.error,
            "response": attempt.response,
        }
        for attempt in attempts
    ]
    return {**delivery_object(delivery, base=base), "attempts": made}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(microseconds(instant))
