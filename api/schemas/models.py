"""Schemas of models and their versions."""

from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Answer, Page, Url
from shared.domain.task import Task


class Version(Answer):
    """One version of a model."""

    id: str = Field(description="Its number in the registry", examples=["3"])
    created_at: str = Field(examples=["2026-01-31T12:00:00Z"])
    cog_version: Literal["darkroom"]
    openapi_schema: dict[str, Any] = Field(description="`components.schemas` has `Input` and `Output`")


class VersionList(Page[Version]):
    """The versions that serve, newest first."""


class Agreement(Answer):
    """How far a version's scores agree with those of exact decoding and fp32, on photographs that Darkroom ships.

    Compared are those about which the version is least in doubt.
    """

    images: int = Field(description="How many were compared", examples=[256])
    top1: float = Field(description="Fraction of them whose best class is the same", examples=[0.9961], ge=0, le=1)
    largest_difference: float = Field(description="Largest difference of two scores", examples=[0.0118], ge=0)


class ServedVersion(Answer):
    """A version that serves, as the registry describes it."""

    version: str = Field(examples=["3"])
    aliases: list[str] = Field(examples=[["champion"]])
    created_at: str = Field(examples=["2026-01-31T12:00:00Z"])
    task: Task | None = Field(description="What it computes; null until a worker has loaded it")
    classes: list[str] = Field(
        description="Its labels by index; empty where its task has none, as `regression`", examples=[["0", "1", "2"]]
    )
    num_classes: int = Field(examples=[10])
    input: dict[str, Any] = Field(
        description="How an image becomes the model's input, in torchvision's preset names",
        examples=[{"resize_size": [32, 32], "mode": "RGB"}],
    )
    output: dict[str, Any] | None = Field(
        description="JSON Schema of its predictions' `output`; null until a worker has loaded it",
        examples=[{"type": "object", "required": ["values"], "properties": {"values": {"type": "object"}}}],
    )
    parameters: dict[str, str] = Field(description="Of the training run")
    metrics: dict[str, float] = Field(description="Of the training run", examples=[{"accuracy": 0.985}])
    decode: str | None = Field(
        description="How its images are decoded: `exact` or `fast`; null until a worker has loaded it",
        examples=["fast"],
    )
    precision: str | None = Field(
        description="What it computes in: `fp32`, `tf32`, `bf16` or `fp16`; null until a worker has loaded it",
        examples=["fp16"],
    )
    agreement: Agreement | None = Field(
        description="How far its scores agree with those of `exact` and `fp32`; null where it is computed so, and "
        "where that could not be measured"
    )
    warnings: list[str] = Field(
        description="What its metadata leaves in doubt", examples=[["the exported program takes one image at a time"]]
    )


class FailedVersion(Answer):
    """A version that could not be loaded, or a champion that failed too many images, so that the one before serves."""

    version: str = Field(examples=["4"])
    error: str = Field(examples=["the image metadata names no size"])


class Model(Answer):
    """A model that serves."""

    url: Url
    owner: str = Field(examples=["darkroom"])
    name: str = Field(examples=["digits"])
    description: str
    visibility: Literal["private"]
    run_count: int = Field(description="Predictions on record, counted up to 100,000")
    latest_version: Version | None = Field(description="The champion, or else the newest that serves")
    aliases: dict[str, str] = Field(description="Version by alias", examples=[{"champion": "3"}])
    traffic: dict[str, int] = Field(
        description="Percent of requests by alias, where none is asked for",
        examples=[{"champion": 100}],
    )
    shadow: dict[str, int] = Field(
        description="Percent of the champion's images that the shadow predicts too, by its version; empty without one",
        examples=[{"4": 100}],
    )
    canary: str | None = Field(
        description="Where its canary is, in words; null where it never had one",
        examples=["version 4 gets 25% (step 2 of 4)"],
    )
    versions: list[ServedVersion]
    failed_versions: list[FailedVersion]
    notices: list[str] = Field(
        description="What was deleted in the registry and goes on serving, and what a setting of the workers pins",
        examples=[["version 3 is no longer in the registry; it goes on serving until another version is champion"]],
    )
    device: str = Field(examples=["cpu"])
    max_batch_size: int = Field(examples=[64])
    workers: int = Field(description="Predict workers seen in the last 10 s", examples=[2])
    loaded_workers: int = Field(
        description="Those of them that have the champion in memory; the others load it when an image needs it",
        examples=[2],
    )
    lane_depth: int = Field(description="Computations that wait or run", examples=[0])
    pipeline: dict[str, Any] | None = Field(
        description="Definition of a named pipeline, whose workers and lane are its first model's; null for a model"
    )


class ModelList(Page[Model]):
    """The models that serve, by name."""
