"""Schemas of reports on models."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, Id, Instant


class LatencyBin(Answer):
    """Images that took longer than `from` milliseconds, and `to` at most.

    One that took within 2.5% of a bound may be counted in the bin beside it.
    """

    from_: float = Field(alias="from", examples=[5.0])
    to: float | None = Field(description="Null of the last bin: it has all that took longer", examples=[10.0])
    count: int


class Latencies(Answer):
    """Latencies in milliseconds of images that a worker computed successfully, each percentile within 2.5%."""

    p50: float = Field(examples=[7.95])
    p90: float = Field(examples=[15.74])
    p95: float = Field(examples=[19.14])
    p99: float = Field(examples=[28.27])
    histogram: list[LatencyBin] = Field(description="By the bounds of the metrics' buckets, 0.5 ms to 30 minutes")


class ConfidenceBin(Answer):
    """Classifications whose confidence is from `from` on and below `to`; the last bin includes 1."""

    from_: float = Field(alias="from", examples=[0.95])
    to: float = Field(examples=[1.0])
    count: int


class ClassShare(Answer):
    """How often a class was predicted."""

    class_: str = Field(alias="class", examples=["7"])
    count: int
    share: float = Field(examples=[0.104], ge=0, le=1)


class ClassDrift(Answer):
    """How far the shares of classes are from those in the model's first week on record."""

    psi: float = Field(description="Population stability index", examples=[0.031])
    by_chance: float = Field(
        description="What samples of this size exceed in 1 of 20 cases where nothing has changed", examples=[0.012]
    )
    verdict: Literal["stable", "moderate", "large", "too few to tell"] = Field(
        description="`stable` below 0.1, `large` from 0.25 on; `too few to tell` where chance may give as much"
    )


class Accuracy(Answer):
    """How many predictions with feedback were right; the last feedback of each counts."""

    labelled: int = Field(examples=[400])
    right: int = Field(examples=[388])
    share: float = Field(examples=[0.97], ge=0, le=1)
    low: float = Field(description="Lower end of Wilson's 95% interval", examples=[0.948413], ge=0, le=1)
    high: float = Field(description="Upper end of it", examples=[0.982712], ge=0, le=1)


class MeanAbsoluteError(Answer):
    """How far numbers were from those that feedback told."""

    labelled: int
    value: float


class VersionReport(Answer):
    """What one version predicted as one variant."""

    version: str = Field(examples=["3"])
    variant: str = Field(
        description="The alias that chose it, its number where clients named that; `shadow` where nobody got the answer"
    )
    count: int = Field(description="Of the variant `shadow` the newest 100,000 at most")
    statuses: dict[str, int] = Field(examples=[{"succeeded": 990, "failed": 10}])
    sources: dict[str, int] = Field(examples=[{"model": 900, "cache": 100}])
    errors: dict[str, int] = Field(description="By error code", examples=[{"undecodable_image": 10}])
    failed_share: float = Field(description="Failed ones among those that succeeded or failed", ge=0, le=1)
    queue_ms: Latencies | None
    predict_ms: Latencies | None
    total_ms: Latencies | None
    confidence: list[ConfidenceBin]
    classes: list[ClassShare] = Field(description="Most frequent first; empty where outputs have no class")
    drift: ClassDrift | None
    accuracy: Accuracy | None = Field(description="Null without feedback, or where outputs are never simply right")
    mean_absolute_error: MeanAbsoluteError | None = Field(description="Of outputs that are numbers; else null")


class ShadowAgreement(Answer):
    """How often a shadow answered what its champion answered, among the newest 100,000 at most."""

    version: str = Field(examples=["4"])
    compared: int
    agreed: int
    share: float | None = Field(ge=0, le=1)
    low: float = Field(description="Lower end of Wilson's 95% interval", ge=0, le=1)
    high: float = Field(ge=0, le=1)
    not_comparable: int = Field(description="Failed ones, and outputs such as boxes and vectors")
    disagreements: list[Id] = Field(description="Predictions where they differ, the newest 20")


class Comparison(Answer):
    """Two versions on the labelled images that both saw."""

    versions: list[str] = Field(examples=[["3", "4"]])
    images: int
    only_first: int = Field(description="Images that only the first version got right, or nearer")
    only_second: int
    p: float | None = Field(description="McNemar's test, two-sided; null where fewer than 6 images differ", le=1)
    sentence: str = Field(
        description="Whether the difference means anything",
        examples=["Too few to tell: no labelled image was seen by both version 3 and version 4."],
    )


class FirstWeek(Answer):
    """What the model predicted in its first seven days on record."""

    since: Instant
    until: Instant
    classes: dict[str, int]


class ModelReport(Answer):
    """A report on what a model predicted since a time, by version and variant."""

    model: str = Field(examples=["digits"])
    since: Instant
    versions: list[VersionReport]
    shadows: list[ShadowAgreement]
    comparisons: list[Comparison] = Field(description="Every two of the versions, of the six highest")
    first_week: FirstWeek | None
    uncounted: int = Field(description="Recorded predictions left out, since they wait to be counted; usually 0")
