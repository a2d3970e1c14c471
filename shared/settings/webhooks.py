"""Settings of webhook delivery."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, PositiveInt, Share


class Webhooks(BaseSettings):
    """Webhooks: which addresses may be called, retries, and how attempts are shared between destinations."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_WEBHOOKS_", frozen=True)

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that may be called although they are not public, as a JSON list: `["10.0.0.0/8"]`. Without it, nobody
    can have the worker call a machine inside your network."""
    timeout: Duration = timedelta(seconds=15)
    """Limit for one attempt, from looking up the name to the end of the answer."""
    max_response_bytes: PositiveInt = 64 * 1024
    """Bytes of an answer that are read at most, and kept where the attempt failed."""
    pauses: tuple[Duration, ...] = (
        timedelta(seconds=5),
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
        timedelta(hours=3),
        timedelta(hours=8),
        timedelta(hours=12),
    )
    """Pauses after the first failed attempt, the second, and so on, as a JSON list. After the last pause there is one
    more attempt; then the delivery is exhausted. The default goes on for a day."""
    lease: Duration = timedelta(seconds=60)
    """A delivery whose worker did not log its attempt for this long is taken over by another; longer than `timeout`."""

    @field_validator("lease")
    @classmethod
    def _longer_than_an_attempt(cls, lease: timedelta, others: ValidationInfo) -> timedelta:
        if lease <= others.data.get("timeout", timedelta(0)):
            raise ValueError("must be longer than DARKROOM_WEBHOOKS_TIMEOUT")
        return lease

    at_once: PositiveInt = 1000
    """Attempts that one worker makes at a time."""
    at_once_each: PositiveInt = 16
    """Attempts that one worker makes at a time for one owner at one destination (scheme, host and port), so that a slow
    receiver holds up nobody else."""
    breaker_failing: Share = 0.9
    """Share of the latest 20 attempts that must have failed before an owner's destination is left alone for a while."""
    breaker_attempts: Annotated[int, Field(gt=0, le=20)] = 10
    """Attempts that are made at least before `breaker_failing` is applied."""
    breaker_rest: Duration = timedelta(seconds=1)
    """How long such a destination is left alone the first time, or twice as long as a failure took if that is longer;
    each further time half as long again, up to 10 minutes."""
    secret_overlap: Duration = timedelta(hours=24)
    """How long the old secret goes on signing after a rotation. Then an upkeep worker deletes it."""
