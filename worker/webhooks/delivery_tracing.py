"""Spans of webhook attempts, in the traces of the requests that they are about."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.domain.webhooks import DeliveryStatus
from shared.observability.tracing.harmless import harmless
from shared.storage.delivery_claims import Claimed
from worker.webhooks.sender import Answer

if TYPE_CHECKING:
    from shared.observability.tracing.spans import Attributes, Span, Tracing


class DeliveryTracing:
    """Makes a span of each attempt whose delivery has a trace."""

    def __init__(self, tracing: "Tracing") -> None:
        self._tracing = tracing

    def begin(self, delivery: Claimed) -> "Span | None":
        """Begin the span of an attempt; None where the delivery has no trace. Raises nothing."""
        if not delivery.trace:
            return None
        with harmless():
            destination = urlsplit(delivery.destination)
            # Neither path nor query: they are their owner's secret.
            attributes: Attributes = {
                "http.request.method": "POST",
                "url.scheme": destination.scheme,
                "server.address": destination.hostname or "",
                "http.request.resend_count": delivery.attempts,
                "darkroom.delivery_id": delivery.id,
                f"darkroom.{delivery.kind}_id": delivery.subject,
            }
            return self._tracing.start(
                f"deliver {delivery.kind} {delivery.event}", kind="client", parent=delivery.trace, attributes=attributes
            )
        return None

    @staticmethod
    def end(span: "Span", answer: Answer, outcome: DeliveryStatus) -> None:
        """End the span of an attempt by its answer."""
        span.set({"darkroom.outcome": outcome})
        if answer.status is not None:
            span.set({"http.response.status_code": answer.status})
        if answer.error is not None:
            span.fail(str(answer.status or "no_answer"), answer.error)
        span.end()
