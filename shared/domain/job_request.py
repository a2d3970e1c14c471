"""What a client asked for, as it is kept with the job: the field `request` of a job's record, as a JSON object.

Named tuples, because a frozen dataclass of ten fields takes 4 µs to make, and one is made for every submission.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from shared.domain.identifiers import Digest, ModelName, PredictionId, VersionKey, VersionNumber
from shared.domain.webhooks import Webhook


class RequestImage(NamedTuple):
    """The image that was sent; `sha256`, `format`, `width` and `height` are None for an item that is no image."""

    sha256: Digest | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int = 0
    filename: str | None = None

    def members(self) -> dict[str, Any]:
        """Return the JSON object's members."""
        return {
            "sha256": self.sha256,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "filename": self.filename,
        }

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        """Return the image of a JSON object; members that are missing have their defaults."""
        return cls(
            sha256=members.get("sha256"),
            format=members.get("format"),
            width=members.get("width"),
            height=members.get("height"),
            bytes=members.get("bytes") or 0,
            filename=members.get("filename"),
        )


class JobRequest(NamedTuple):
    """Everything about a submission but the image's bytes. `base_url` is empty for a batch's items."""

    model: ModelName
    version: VersionNumber
    version_key: VersionKey
    variant: str
    """The alias that chose the version, or the version's number."""
    image: RequestImage
    metadata: dict[str, Any]
    base_url: str = ""
    webhook: Webhook | None = None
    custom_id: str | None = None
    request_id: str | None = None
    """Of the HTTP request that brought it."""
    retry_of: PredictionId | None = None
    """The prediction that this one repeats; written only where there is one."""
    trace: str | None = None
    """The span that it belongs to, as `shared.observability.tracing.trace_context` writes it; written only where there
    is one. In Postgres it is kept with the webhook alone."""

    def members(self) -> dict[str, Any]:
        """Return the JSON object's members."""
        members = {
            "model": self.model,
            "version": self.version,
            "version_key": self.version_key,
            "variant": self.variant,
            "image": self.image.members(),
            "metadata": self.metadata,
            "base_url": self.base_url,
            "webhook": None if self.webhook is None else self.webhook.as_json(),
            "custom_id": self.custom_id,
            "request_id": self.request_id,
        }
        if self.retry_of is not None:
            members["retry_of"] = self.retry_of
        if self.trace:
            members["trace"] = self.trace
            if self.webhook is not None:  # the webhook is kept with the prediction's row
                members["webhook"] = self.webhook.as_json() | {"trace": self.trace}
        return members

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        """Return the request of a JSON object; members that are missing, or null, have their defaults.

        A record that was stored without its text, because Postgres refused it, lacks some of them.
        """
        return cls(
            model=ModelName(members.get("model") or ""),
            version=VersionNumber(members.get("version") or ""),
            version_key=VersionKey(members.get("version_key") or ""),
            variant=members.get("variant") or "",
            image=RequestImage.read(members.get("image") or {}),
            metadata=members.get("metadata") or {},
            base_url=members.get("base_url") or "",
            webhook=Webhook.from_json(webhook) if (webhook := members.get("webhook")) else None,
            custom_id=members.get("custom_id"),
            request_id=members.get("request_id"),
            retry_of=members.get("retry_of"),
            trace=members.get("trace"),
        )
