"""Types that schemas of answers share."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Instant = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-01-31T12:00:00.123456Z"])]
Url = Annotated[str, Field(examples=["http://127.0.0.1:8000/v1/…"])]
Id = Annotated[str, Field(description="Opaque", examples=["0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11"])]
Sha256 = Annotated[str, Field(description="64 hexadecimal digits", pattern="^[0-9a-f]{64}$")]


class Answer(BaseModel):
    """An object in an answer: every member is always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Answer)


class Page(Answer, Generic[T]):
    """One page of a list."""

    results: list[T]
    next: Url | None = Field(description="The next page, or null on the last one")
    previous: Url | None = Field(description="The page before, or null")
