"""Schemas of liveness and readiness."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"]


class WireLimits(Answer):
    """Limits of one HTTP connection."""

    head_bytes: int = Field(description="A request's head; a larger one gets 431", examples=[32768])
    head_fields: int = Field(description="Header fields of a request; more get 431", examples=[100])
    target_bytes: int = Field(description="Path and query of a request; longer ones get 414", examples=[16384])
    head_seconds: float = Field(
        description="From a head's first byte to its last; a slower one gets 408", examples=[10]
    )
    body_seconds: float = Field(
        description="How long a body may be slower than its rate; then it gets 408", examples=[30]
    )
    body_bytes_a_second: int = Field(description="The rate that a body must have on average", examples=[500])
    answer_seconds: float = Field(description="How long a client may read nothing of its answer", examples=[60])


class Limits(Answer):
    """Limits for all callers; more is refused. A key may have limits of its own."""

    image_bytes: int = Field(description="One image file; a larger one gets 413", examples=[20971520])
    image_pixels: int = Field(description="One image, by its header; a larger one gets 413", examples=[50000000])
    metadata_bytes: int = Field(description="`metadata` as JSON; a larger one gets 422", examples=[4096])
    bytes_in_hand: int = Field(
        description="Bodies that this gateway reads at a time; more get 503", examples=[536870912]
    )
    owner_bytes_in_hand: int = Field(description="Those of one owner; more get 429", examples=[134217728])
    batch_items: int = Field(description="Images of one batch, in whatever form; more get 413", examples=[200000])
    archive_bytes: int = Field(description="One archive; a larger one gets 413", examples=[4294967296])
    archive_unpacked_bytes: int = Field(
        description="What one archive unpacks to, by its directory; more gets 413", examples=[8589934592]
    )
    archive_entries: int = Field(description="Entries of one archive; more get 413", examples=[200000])
    archive_ratio: int = Field(
        description="How many times larger a large archive may become when unpacked; more gets 422", examples=[100]
    )
    files: int = Field(description="Uploaded files of one owner; more get 429", examples=[1000])
    file_bytes: int = Field(
        description="One owner's files, at most half of what all files may take; more get 429", examples=[845571686]
    )
    file_bytes_a_second: int = Field(
        description="One owner's uploads, ten seconds' worth at once; more get 429", examples=[20971520]
    )
    files_memory_share: float = Field(
        description="All files together, of `memory_limit_bytes`; more get 503", examples=[0.25]
    )
    lane_depth: int = Field(description="Images that wait in one lane; more get 503", examples=[250000])
    lane_bytes: int = Field(description="Bytes that wait in one lane; more get 503", examples=[2147483648])
    model_patience_seconds: float = Field(
        description="How long images wait for a model that no worker serves: then they fail with `model_unavailable`",
        examples=[600],
    )
    memory_share: float = Field(
        description="Share of `memory_limit_bytes` in use from which on submissions get 503", examples=[0.8]
    )
    wire: WireLimits | None = Field(description="null: the server bounds neither heads nor time")


class Used(Answer):
    """How much of the limited resources is in use."""

    bytes_in_hand: int = Field(description="This gateway's, of bodies that are being read", examples=[1480])
    memory_bytes: int = Field(description="Memory that Redis uses", examples=[73400320])
    memory_limit_bytes: int | None = Field(
        description="Redis' `maxmemory`; null where it has none", examples=[6764573491]
    )
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
