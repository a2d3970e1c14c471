"""Schemas of batches and of the lines of their results."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.base import Answer, Id, Instant, Page, Url
from api.schemas.bounds import LONGEST_SKIPPED_NAME, MOST_SKIPPED_NAMES
from api.schemas.outputs import Output
from shared.domain.batch import BatchStatus
from shared.domain.prediction import ErrorCode, Source, Status


class BatchCounts(Answer):
    """Counts of images by how they ended; the rest of `total` is unfinished."""

    total: int = Field(description="Still growing while the batch is validating", examples=[1200])
    succeeded: int = Field(examples=[310])
    failed: int = Field(examples=[2])
    canceled: int = Field(examples=[0])


class BatchUrls(Answer):
    """URLs of the batch; `stream` carries its own short-lived token."""

    get: Url
    results: Url
    cancel: Url
    retry: Url
    stream: Url


class ListedBatch(Answer):
    """A bulk upload on a list, without the names of skipped files."""

    id: Id
    status: BatchStatus = Field(description="validating → in_progress → completed, or canceled")
    model: str = Field(examples=["digits"])
    request_counts: BatchCounts
    errors: dict[str, int] = Field(description="How many failed, by `error_code`", examples=[{"undecodable_image": 2}])
    images_per_second: float | None = Field(
        description="Images that ended a second, from its creation to its end or to now; null while none has",
        examples=[412.5],
    )
    seconds_left: float | None = Field(
        description="Until all have ended at that pace; null while the batch is validating or none has ended",
        examples=[2.2],
    )
    retry_of: str | None = Field(description="The batch whose failed images these are")
    skipped: int = Field(
        description="How many files were left out: documents, tables and links in an archive, and clutter", examples=[3]
    )
    created_at: Instant
    completed_at: Instant | None = Field(description="When its last image ended")
    metadata: dict[str, Any] = Field(description="As submitted")
    urls: BatchUrls


class Batch(ListedBatch):
    """A bulk upload."""

    skipped_files: list[Annotated[str, Field(max_length=LONGEST_SKIPPED_NAME)]] = Field(
        description="Names of the files that were left out, 100 at most, documents and links first, then clutter "
        "(`.DS_Store`, `__MACOSX`); of a long name, its last 255 characters. `skipped` counts all of them. Empty while "
        "the batch is validating",
        max_length=MOST_SKIPPED_NAMES,
        examples=[["labels.csv", "README.txt", "__MACOSX/scans/._7.png"]],
    )


class BatchList(Page[ListedBatch]):
    """Batches, newest first."""


class BatchResult(Answer):
    """A line of a batch's results."""

    custom_id: str = Field(description="The file's name, or the line's own", examples=["cats/7.png"])
    id: Id
    status: Status
    version: str = Field(examples=["3"])
    source: Source
    output: Output | None
    error: str | None
    error_code: ErrorCode | None


class BatchWithResults(Batch):
    """A bulk upload that has ended, with the results of all its images, in upload order."""

    results: list[BatchResult]
