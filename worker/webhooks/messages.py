"""A webhook's body and headers: the prediction or batch as the HTTP API shows it, signed (Standard Webhooks 1.0)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy import Connection
from standardwebhooks import Webhook

from shared.domain.identifiers import BatchId, DeliveryId, PredictionId
from shared.presentation.objects import batch_object, prediction_object
from shared.presentation.stream_tokens import StreamTokens
from shared.storage import batches, predictions
from shared.storage.delivery_claims import Claimed


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A delivery with its body and the secrets that sign it, the newest first."""

    delivery: Claimed
    body: bytes
    secrets: Sequence[str]

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the three headers, signed for an attempt at `now`; `webhook-id` is the same in every attempt."""
        id, text = self.delivery.id, self.body.decode()
        return {
            "webhook-id": id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                Webhook(secret).sign(id, datetime.fromtimestamp(int(now.timestamp()), UTC), text)
                for secret in self.secrets
            ),
        }


def message_bodies(
    connection: Connection, claimed: Sequence[Claimed], *, tokens: StreamTokens
) -> Mapping[DeliveryId, bytes]:
    """Return each delivery's body; none for one whose prediction or batch no longer exists."""
    found: dict[str, bytes] = {}
    recorded = [PredictionId(one.subject) for one in claimed if one.kind == "prediction" and one.body is None]
    for row in predictions.find_predictions(connection, recorded):
        found[row.id] = orjson.dumps(prediction_object(row.job(), base_url=row.base_url, tokens=tokens))
    for one in claimed:
        if one.kind == "batch" and (batch := batches.find_batch(connection, BatchId(one.subject), one.owner)):
            found[one.subject] = orjson.dumps(batch_object(batch.batch(), base_url=batch.base_url, tokens=tokens))
    bodies = {}
    for one in claimed:
        body = found.get(one.subject) if one.body is None else orjson.dumps(one.body)
        if body is not None:
            bodies[one.id] = body
    return bodies
