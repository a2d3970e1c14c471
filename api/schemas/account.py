"""Schemas of the account and of API keys."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Answer, Id, Instant, Page, Url
from shared.domain.api_keys import FASTEST, MOST_UNFINISHED, SLOWEST, Role

_SHOWN = "How it begins, by which keys are told apart"
_OWNER = Field(description="Keys of one owner share predictions, batches and files", examples=["ann"])


class KeyLimits(Answer):
    """Limits of an API key; null is no limit."""

    images_a_second: float | None = Field(examples=[20])
    images_at_once: int | None = Field(description="How many of them may come at once", examples=[20])
    unfinished: int | None = Field(description="The owner's unfinished images at a time", examples=[500])


class KeyUse(Answer):
    """How much of its limits is in use now; null where there is no such limit."""

    unfinished: int = Field(description="The owner's unfinished images", examples=[3])
    images_left: int | None = Field(description="How many may come at once now", examples=[17])
    unfinished_left: int | None = Field(examples=[497])


class CallersKey(Answer):
    """The API key that a request brought."""

    id: Id
    shown: str = Field(description=_SHOWN, examples=["dk_Z41Ei4"])


class AccountLinks(Answer):
    """Pages that belong to this API; null where no setting names one."""

    mlflow: Url | None
    flower: Url | None
    grafana: Url | None
    docs: Url | None
    api: Url = Field(description="A form for each call")
    openapi: Url


class Account(Answer):
    """Who calls, in the form that Replicate's clients read too, and what it may."""

    type: Literal["organization"]
    username: str = _OWNER
    name: str = Field(description="The same as `username`", examples=["ann"])
    github_url: None
    role: Role
    keys_required: bool = Field(description="Whether requests need an API key")
    key: CallersKey | None = Field(description="null: the request brought none")
    limits: KeyLimits
    used: KeyUse | None = Field(description="null where Redis can't say")
    links: AccountLinks


class ApiKey(Answer):
    """What is known of an API key, which is all but the key itself."""

    id: Id
    owner: str = _OWNER
    shown: str = Field(description=_SHOWN, examples=["dk_Z41Ei4"])
    role: Role
    limits: KeyLimits
    used: KeyUse | None = Field(description="null of a revoked key, and where Redis can't say")
    current: bool = Field(description="Whether this request brought it")
    created_at: Instant
    revoked_at: Instant | None


class ApiKeyList(Page[ApiKey]):
    """API keys, the newest first."""


class NewApiKey(ApiKey):
    """A new API key, with the key itself."""

    key: str = Field(
        description="Shown this once: only its SHA-256 is kept",
        examples=["dk_Z41Ei4DyYC9zBPL_tdA9B932MXMyBF_w85K7uiRzTRs"],
    )


class RevokedApiKey(ApiKey):
    """A revoked API key."""

    notice: str | None = Field(
        description="A sentence where this request brought the revoked key; else null",
        examples=["this is the key of this request: it stops within 5 s"],
    )


class WantedApiKey(BaseModel):
    """What a new API key is to be; its owner is the caller's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str | None = Field(
        default=None,
        description="The caller's own owner, which is also the default; any other is refused",
        examples=["ann"],
    )
    role: Role | None = Field(default=None, description="null, or left out: `submit`", examples=["submit"])
    images_a_second: float | None = Field(
        default=None,
        ge=SLOWEST,
        le=FASTEST,
        description="null, or left out: that of the key that makes it; more is refused",
        examples=[20],
    )
    unfinished: int | None = Field(
        default=None,
        ge=1,
        le=MOST_UNFINISHED,
        description="Unfinished images at a time; null, or left out: that of the key that makes it; more is refused",
        examples=[500],
    )
