"""Settings of the queue in Redis, and of how micro-batches are formed from it."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, PositiveInt


class Queue(BaseSettings):
    """The queue in Redis: how much may wait, when a worker counts as lost, how long finished things are kept there."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_QUEUE_", frozen=True)

    max_lane_depth: PositiveInt = 250_000
    """Images that may wait in one lane; more are refused with 503."""
    max_lane_bytes: PositiveInt = 2 * 1024**3
    """Bytes that may wait in one lane, as Redis stores them; more are refused with 503."""
    max_waiters: Annotated[int, Field(gt=0, le=5000)] = 500
    """Predictions of the same image that share one computation; the next one starts another. It bounds how long the
    script that finishes a computation takes."""
    max_inline_image: PositiveInt = 8 * 1024
    """Bytes up to which an image is sent within its submission. A larger one gets a key of its own, which costs Redis a
    third less for 53 KB. Raise it above your largest image while workers run that are older than this setting."""
    max_shadow_depth: PositiveInt = 2000
    """Images that may wait in a model's shadow lane; more are answered as usual and not shadowed."""
    max_shadow_bytes: PositiveInt = 64 * 1024**2
    """Bytes that may wait in a model's shadow lane, as Redis stores them; more are answered and not shadowed."""
    lease: Duration = timedelta(seconds=10)
    """An image whose worker did not renew its lease for this long is taken over by another worker."""
    max_attempts: PositiveInt = 3
    """How often an image is computed when its workers die over it; then it fails with `worker_lost`."""
    cache_ttl: Duration = timedelta(hours=24)
    """How long an output is kept in Redis, so that the same image to the same version is answered without computing.
    """
    failed_ttl: Duration = timedelta(hours=24)
    """How long an image whose prediction failed is kept in Redis, so that the prediction can be retried."""
    max_failed_bytes: Annotated[int, Field(ge=0)] = 128 * 1024**2
    """Bytes of such images that are kept, of all owners; the oldest of the owner that holds most go first. 0 keeps
    none. Redis drops them too where its memory is short."""
    recorded_ttl: Duration = timedelta(hours=1)
    """How long a prediction that is in Postgres is still answered from Redis."""
    idempotency_ttl: Duration = timedelta(hours=24)
    """How long an `Idempotency-Key` is remembered: a request repeated within this time is not accepted twice."""
    model_patience: Duration = timedelta(minutes=10)
    """How long a model may be without any worker. Images that have waited for it as long then fail with
    `model_unavailable`, and new ones to its name are refused. Longer than a restart and a model's load take."""

    @property
    def failed_arguments(self) -> tuple[int, int]:
        """`failed_ttl` in milliseconds and `max_failed_bytes`, as the scripts that end jobs take them."""
        return self.failed_ttl // timedelta(milliseconds=1), self.max_failed_bytes


class Batching(BaseSettings):
    """How a predict worker forms micro-batches: what one forward pass takes."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BATCHING_", frozen=True)

    max_batch_size: PositiveInt = 64
    """Images of one micro-batch. Raise it for a fast GPU; lower it where a pass takes too long or too much memory. On a
    CPU a micro-batch has no more images than one forward pass takes, 16 of 224×224."""
    max_wait: Duration = timedelta(0)
    """How long a worker waits for a micro-batch to fill up. 0: none, since under load the next micro-batch fills while
    this one computes."""
    beside_people: Duration = timedelta(milliseconds=2)
    """How long images of bulk uploads may take that are computed beside a single image, or between two of them: what a
    bulk upload may add to the latency of people who wait."""
