"""Schemas of uploaded files."""

from typing import Any

from pydantic import Field

from api.schemas.base import Answer, Id, Instant, Page, Sha256, Url


class Checksums(Answer):
    """Digests of a file's content."""

    sha256: Sha256


class FileUrls(Answer):
    """URL of the file, which `input.image` takes."""

    get: Url


class File(Answer):
    """An uploaded file, stored for a limited time."""

    id: Id
    name: str = Field(examples=["7.png"])
    content_type: str = Field(description="By content where it is an image", examples=["image/png"])
    size: int = Field(description="Bytes", examples=[1480])
    etag: str
    checksums: Checksums
    metadata: dict[str, Any]
    created_at: Instant
    expires_at: Instant
    urls: FileUrls


class FileList(Page[File]):
    """Files, newest first."""
