"""Schemas of changes of what serves."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Answer
from shared.domain.model_changes import VERSION

_VERSION = Field(
    default=None,
    pattern=VERSION,
    description="Its number, or `latest`: the newest that is ready; so, too, where it is null or left out",
    examples=["4"],
)


class ModelChange(Answer):
    """What was changed in the registry; workers load the version, then it serves."""

    model: str = Field(examples=["digits"])
    change: str = Field(description="What was asked for", examples=["promote"])
    changed: bool = Field(description="false: it was so already")
    said: str = Field(
        description="What is so now, in a sentence", examples=["Promoted version 4 of digits, before it was 3."]
    )
    undo: str | None = Field(
        description="Command that undoes it, or null", examples=["darkroom models rollback digits"]
    )


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WantedPromotion(_Wanted):
    """Which version is to be the champion."""

    version: str | None = _VERSION


class WantedRollback(_Wanted):
    """Which version is the champion: where another is by now, the rollback is refused, so that it is safe to repeat."""

    from_: str | None = Field(
        default=None,
        alias="from",
        pattern=VERSION,
        description="null, or left out: whichever version is the champion",
        examples=["4"],
    )


class WantedShare(_Wanted):
    """Which version gets which share."""

    version: str | None = _VERSION
    percent: int = Field(ge=0, le=100, examples=[10])


class WantedCanary(_Wanted):
    """A canary's steps and limits; what is null or left out is as in the command `darkroom models canary`."""

    version: str | None = _VERSION
    steps: list[Annotated[int, Field(ge=1, le=100)]] | None = Field(
        default=None, description="Percentages, rising, the last one 100", examples=[[5, 25, 50, 100]]
    )
    every_seconds: float | None = Field(
        default=None, ge=1, le=31_536_000, description="How long a step lasts at least", examples=[600]
    )
    max_errors: float | None = Field(
        default=None, ge=0, le=1, description="Share of images that it may fail", examples=[0.01]
    )
    max_p99: float | None = Field(
        default=None, ge=0.01, le=1000, description="How many times the champion's p99 its own may be", examples=[1.5]
    )
    min_agreement: float | None = Field(
        default=None, ge=0, le=1, description="Share of images with the champion's answer, as shadow", examples=[0.97]
    )
    min_images: int | None = Field(
        default=None, ge=1, le=10**9, description="Images that a step judges at least", examples=[100]
    )
    patience_seconds: float | None = Field(
        default=None, ge=1, le=31_536_000, description="How long a step waits for them at most", examples=[86400]
    )
