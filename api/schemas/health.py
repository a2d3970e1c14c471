"""Schemas of liveness and readiness."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"]


class WireLimits(Answer):
    """Limits of one HTTP connection."""

    head_bytes: int = Field(description="Of a request's head: 431", examples=[32768])
    head_fields: int = Field(description="Likewise", examples=[100])
    target_bytes: int = Field(description="Of its path and query: 414", examples=[16384])
    head_seconds: float = Field(description="From the head's first byte to its last: 408", examples=[10])
    body_seconds: float = Field(description="How long a body may be slower than its rate: 408", examples=[30])
    body_bytes_a_second: int = Field(examples=[500])
    answer_seconds: float = Field(description="How long a client may read nothing of its answer", examples=[60])


class Limits(Answer):
    """Limits for all callers; more is refused. A key may have limits of its own."""

    image_bytes: int = Field(description="413", examples=[20971520])
    image_pixels: int = Field(description="By the image's header: 413", examples=[50000000])
    metadata_bytes: int = Field(description="422", examples=[4096])
    bytes_in_hand: int = Field(description="Of bodies that this gateway reads at a time: 503", examples=[536870912])
    owner_bytes_in_hand: int = Field(description="Of those one owner's: 429", examples=[134217728])
    batch_items: int = Field(description="Images of one batch, in whatever form: 413", examples=[200000])
    archive_bytes: int = Field(description="413", examples=[4294967296])
    archive_unpacked_bytes: int = Field(description="By the archive's directory: 413", examples=[8589934592])
    archive_entries: int = Field(description="413", examples=[200000])
    archive_ratio: int = Field(description="Times a large archive may grow: 422", examples=[100])
    files: int = Field(description="Uploaded files of one owner: 429", examples=[1000])
    file_bytes: int = Field(description="Likewise, at most half of what all files may take", examples=[845571686])
    file_bytes_a_second: int = Field(description="Likewise, ten seconds' worth at once", examples=[20971520])
    files_memory_share: float = Field(description="All files, of `memory_limit_bytes`: 503", examples=[0.25])
    lane_depth: int = Field(description="Images that wait in one lane: 503", examples=[250000])
    lane_bytes: int = Field(description="Likewise", examples=[2147483648])
    model_patience_seconds: float = Field(
        description="How long images wait for a model that no worker serves: then they fail with `model_unavailable`",
        examples=[600],
    )
    memory_share: float = Field(description="Of `memory_limit_bytes`: 503", examples=[0.8])
    wire: WireLimits | None = Field(description="null: the server bounds neither heads nor time")


class Used(Answer):
    """How much of the limited resources is in use."""

    bytes_in_hand: int = Field(description="This gateway's, of bodies that are being read", examples=[1480])
    memory_bytes: int = Field(description="Redis'", examples=[73400320])
    memory_limit_bytes: int | None = Field(description="Its `maxmemory`, or null", examples=[6764573491])
    lane_depths: dict[str, int] = Field(description="Each model's deepest lane", examples=[{"digits": 7687}])


class Role(Answer):
    """State of one role beside predicting, such as recording."""

    role: Literal["record", "webhooks", "upkeep"]
    state: Literal["ready", "late", "missing"]
    detail: str = Field(description="What is wrong, or empty", examples=[""])


class Readiness(Answer):
    """Whether requests should be sent to this gateway."""

    status: Literal["ready", "degraded", "unavailable"]
    down: list[str] = Field(description="Without these nothing works", examples=[[]])
    degraded: list[str] = Field(
        description="What people will notice meanwhile",
        examples=[["postgres: history is not readable"]],
    )
    roles: list[Role] = Field(description="Empty where Redis can't say")
    limits: Limits
    used: Used | None = Field(description="null where Redis can't say")
