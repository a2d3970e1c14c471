"""Schema of errors."""

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Answer


class FieldError(Answer):
    """One thing that is wrong with a request."""

    detail: str
    pointer: str = Field(description="JSON pointer, or a header's name", examples=["/metadata"])


class Problem(BaseModel):
    """An error (RFC 9457). Further members carry its facts."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(examples=["/problems/invalid-parameter"])
    title: str = Field(examples=["A parameter can't be used"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["metadata must be a JSON object"])
    instance: str = Field(description="The request's path", examples=["/v1/predictions"])
    errors: list[FieldError] | None = Field(default=None, description="Where single values are wrong")
