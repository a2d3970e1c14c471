"""The Postgres tables as SQLAlchemy objects, to build statements with. A test keeps them equal to `migrations`.

Over 300 lines: all tables stand in one place.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.domain.api_keys import Role
from shared.domain.prediction import Source, Status
from shared.domain.webhooks import DeliveryStatus

TERMINAL_WORDS = tuple(str(status) for status in Status if status.is_terminal)
SOURCE_WORDS = tuple(str(source) for source in Source)
SHADOW_WORDS = (str(Status.SUCCEEDED), str(Status.FAILED))
ROLE_WORDS = tuple(str(role) for role in Role)
DELIVERY_WORDS = tuple(str(status) for status in DeliveryStatus)

metadata = MetaData()

_id = Uuid(as_uuid=False)
_time = DateTime(timezone=True)


def _one_of(column: str, words: tuple[str, ...]) -> str:
    """Return the SQL condition of a column that holds one of the words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


predictions = Table(
    "predictions",
    metadata,
    Column("id", _id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("batch_id", _id),
    Column("custom_id", Text),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("version_key", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("image_sha256", Text, nullable=False),
    Column("image", JSONB, nullable=False),
    Column("output", JSONB),
    Column("error", Text),
    Column("error_code", Text),
    Column("attempts", Integer, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("started_at", _time),
    Column("completed_at", _time, nullable=False),
    Column("queue_ms", Double),
    Column("predict_ms", Double),
    Column("batch_size", Integer),
    Column("worker", Text),
    Column("metadata", JSONB, nullable=False),
    Column("webhook", JSONB),
    Column("base_url", Text, nullable=False),
    Column("request_id", Text),
    Column("retry_of", _id),
    Column("recorded_at", _time, server_default=text("clock_timestamp()")),
    CheckConstraint(_one_of("status", TERMINAL_WORDS), name="predictions_status"),
    CheckConstraint(_one_of("source", SOURCE_WORDS), name="predictions_source"),
    # Each index costs 1 to 2 of the 24 µs that a row costs. Ids are in time order, so each index also gives the newest
    # first. Nearly all rows succeeded: the status index holds only the others.
    Index("predictions_owner", "owner", "id"),
    Index("predictions_owner_model", "owner", "model", "id"),
    Index(
        "predictions_owner_status",
        "owner",
        "status",
        "id",
        postgresql_where=text("status <> 'succeeded'"),
    ),
    Index("predictions_batch", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
    # Made by `concurrent_indexes.py`. They cost nothing where a row has no error and no metadata; that on metadata 1 µs
    # a row with three members.
    Index("predictions_owner_error", "owner", "error_code", "id", postgresql_where=text("error_code IS NOT NULL")),
    Index(
        "predictions_metadata",
        "metadata",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        postgresql_where=text("metadata <> '{}'"),
    ),
)
"""One row for each finished prediction. `image` has format, width, height, bytes, filename.

`request_id` is that of the HTTP request that brought it, `retry_of` the prediction that it repeats. `recorded_at` is
when the row was written; null in rows older than the column.
"""

shadow_predictions = Table(
    "shadow_predictions",
    metadata,
    Column("prediction_id", _id, ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
    Column("version_key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("output", JSONB),
    Column("error", Text),
    Column("error_code", Text),
    Column("agrees", Boolean),
    Column("predict_ms", Double),
    Column("created_at", _time, nullable=False),
    CheckConstraint(_one_of("status", SHADOW_WORDS), name="shadow_predictions_status"),
    # A prediction's rows are found by the primary key; those of a version since some time by this, which has all that
    # a report on agreement reads.
    Index("shadow_predictions_version", "model", "version", "prediction_id", postgresql_include=["agrees", "owner"]),
)
"""One row for each image that a model's shadow predicted too: the champion's prediction, and the shadow's answer to it.

`agrees` compares both outputs (`shared/domain/output_agreement.py`), null where they can't be compared or the shadow
failed. `version` and `version_key` are the shadow's; `created_at` is when it answered.
"""

batches = Table(
    "batches",
    metadata,
    Column("id", _id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("total", Integer),
    Column("succeeded", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("canceled", Integer, nullable=False, server_default="0"),
    Column("webhook", JSONB),
    Column("created_at", _time, nullable=False, server_default=text("clock_timestamp()")),
    Column("completed_at", _time),
    Column("model", Text),
    Column("skipped", Integer, nullable=False, server_default="0"),
    Column("skipped_files", JSONB, nullable=False, server_default="[]"),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    Column("changed_at", _time),
    Column("canceled_at", _time),
    Column("base_url", Text, nullable=False, server_default=""),
    Column("errors", JSONB, nullable=False, server_default="{}"),
    Column("retry_of", _id),
    Index("batches_owner", "owner", "id"),
)
"""One row for each batch. Its items may be recorded before its own record; `total` is null until that is in.

`errors` has the numbers of failed items by their error code, `retry_of` the batch whose failed items it repeats.
`changed_at` is when its last item ended or its upload was read, whichever came later; it becomes `completed_at`.
"""

feedback = Table(
    "feedback",
    metadata,
    Column("id", _id, primary_key=True, server_default=text("darkroom_uuid7()")),
    Column("prediction_id", _id, nullable=False),
    Column("owner", Text, nullable=False),
    Column("label", Text),
    Column("value", JSONB),
    Column("boxes", JSONB),
    Column("comment", Text),
    Column("by", Text),
    Column("key", Text),
    Column("created_at", _time, nullable=False, server_default=text("clock_timestamp()")),
    Column("model", Text),
    Column("version", Text),
    Column("variant", Text),
    Column("status", Text),
    Column("image_sha256", Text),
    Column("is_right", Boolean),
    Column("error", Double),
    CheckConstraint("num_nonnulls(label, value, boxes) = 1", name="feedback_one"),
    Index("feedback_prediction", "prediction_id", "id"),
    Index("feedback_owner", "owner", "id"),
    Index("feedback_key", "owner", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
    Index("feedback_unjudged", "id", postgresql_where=text("model IS NULL")),
)
"""What people say a prediction's right answer is; of each prediction the row with the highest id counts.

There is no foreign key: feedback may come before its prediction is recorded. A trigger deletes it with its prediction.
Exactly one of `label`, `value` and `boxes` is set. `key` is the digest of the request's idempotency key. The columns
from `model` on are the prediction's, and whether its answer is right or how far off; they are null until upkeep has
filled them in: see `judged_feedback.py`.
"""

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", _id, primary_key=True, server_default=text("darkroom_uuid7()")),
    Column("owner", Text, nullable=False),
    Column("subject", _id, nullable=False),
    Column("event", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", _time, nullable=False, server_default=text("clock_timestamp()")),
    Column("created_at", _time, nullable=False, server_default=text("clock_timestamp()")),
    Column("delivered_at", _time),
    Column("kind", Text, nullable=False, server_default="prediction"),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("body", JSONB),
    Column("destination", Text, Computed("lower(substring(url FROM '^[a-zA-Z]+://[^/?#]*'))"), nullable=False),
    Column("trace", Text),
    CheckConstraint("kind IN ('prediction', 'batch', 'feedback')", name="webhook_deliveries_kind"),
    CheckConstraint(_one_of("status", DELIVERY_WORDS), name="webhook_deliveries_status"),
    UniqueConstraint("subject", "event", name="webhook_deliveries_subject_event"),
    Index(
        "webhook_deliveries_due",
        "owner",
        "destination",
        "next_attempt_at",
        postgresql_where=text("status = 'pending'"),
    ),
    Index("webhook_deliveries_owner", "owner", "id"),
)
"""The outbox: a row for each event of a prediction, batch or feedback (`subject`), inserted in the event's commit.

`attempts` are counted since the owner last asked for a retry. `next_attempt_at` of a claimed delivery is when its lease
ends. `body` is set only for `start` and `feedback` events; others are built from the subject's row.
`trace` is the `traceparent` of the request that brought the subject, with its `tracestate` behind a space.
"""

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", _id, ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("started_at", _time, primary_key=True),
    Column("duration_ms", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("response", Text),
)
"""One row for each attempt: the HTTP status if there was an answer; after a failure `error` and the answer's body."""

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("retired_at", _time),
    Index("webhook_secrets_current", "owner", unique=True, postgresql_where=text("retired_at IS NULL")),
)
"""Secrets that sign an owner's webhooks: the current one, and for a while after `retired_at` earlier ones."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _id, primary_key=True, server_default=text("darkroom_uuid7()")),
    Column("owner", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("rate", Double),
    Column("max_inflight", Integer),
    Column("created_at", _time, nullable=False, server_default=text("clock_timestamp()")),
    Column("revoked_at", _time),
    UniqueConstraint("hash", name="api_keys_hash"),
    CheckConstraint(_one_of("role", ROLE_WORDS), name="api_keys_role"),
    CheckConstraint("rate > 0", name="api_keys_rate"),
    CheckConstraint("max_inflight > 0", name="api_keys_max_inflight"),
)
"""API keys: `hash` is the key's SHA-256, `shown` its first characters, `rate` images a second. Keys are not stored."""

_COUNTER_KEY = ("model", "at", "owner", "version", "variant", "figure", "bin")


def _counter_columns() -> list[Column[Any]]:
    keys = [Column(name, _time if name == "at" else Text, primary_key=True) for name in _COUNTER_KEY]
    return [*keys, Column("n", BigInteger, nullable=False)]


report_counters = Table("report_counters", metadata, *_counter_columns())
"""Numbers of predictions by bin of a figure, in the five minutes from `at` on; see `version_figures`."""

report_days = Table(
    "report_days",
    metadata,
    Column("model", Text, primary_key=True),
    Column("at", _time, primary_key=True),
)
"""Days (UTC) whose counters are added up in `report_day_counters`. Triggers delete both where one of them changes."""

report_day_counters = Table("report_day_counters", metadata, *_counter_columns())
"""As `report_counters`, by day: see `report_days.py`."""

report_pending = Table(
    "report_pending",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("ids", ARRAY(_id), nullable=False),
    Column("rows", Integer, nullable=False),
)
"""Ids of predictions that are not in `report_counters` yet, a row for each statement that inserted some."""
