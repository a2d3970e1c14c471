"""The objects of the HTTP contract, a prediction and a batch, the same whoever tells of them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from shared.domain.batch import Batch
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.presentation.stream_tokens import StreamTokens


def prediction_object(job: Job, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return the whole object of the HTTP contract."""
    request, id = job.request, job.id
    url = f"{base_url}/v1/predictions/{id}"
    return {
        "id": id,
        "model": request.model,
        "version": request.version,
        "variant": request.variant,
        "status": job.status,
        "input": {"image": request.image.members()},
        "output": job.output,
        "error": job.error,
        "error_code": job.code,
        "logs": "",
        "source": job.source,
        "attempts": job.attempts,
        "batch_id": job.batch or None,
        "metadata": request.metadata,
        "data_removed": False,
        "metrics": _metrics(job),
        "created_at": moment(job.created),
        "started_at": moment(job.started),
        "completed_at": moment(job.completed),
        "urls": {
            "get": url,
            "cancel": f"{url}/cancel",
            "stream": f"{url}/stream?token={tokens.sign(id)}",
            "web": url,
        },
    }


def batch_object(batch: Batch, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return the whole object of the HTTP contract."""
    url = f"{base_url}/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "status": batch.status,
        "model": batch.model,
        "request_counts": counts(batch),
        "skipped": batch.skipped,
        "skipped_files": batch.skipped_files,
        "created_at": moment(batch.created),
        "completed_at": moment(batch.completed),
        "metadata": batch.metadata,
        "urls": {
            "get": url,
            "results": f"{url}/results",
            "cancel": f"{url}/cancel",
            "stream": f"{url}/stream?token={tokens.sign(batch.id)}",
        },
    }


def listed_batch_object(batch: Batch, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return the object as a list has it: without the names of skipped files, which take up to 100 KB a batch."""
    listed = batch_object(batch, base_url=base_url, tokens=tokens)
    del listed["skipped_files"]
    return listed


def counts(batch: Batch) -> dict[str, int]:
    """Return how many of its images are where."""
    return {
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "canceled": batch.canceled,
    }


def moment(microseconds: int | None) -> str | None:
    """Write an instant as RFC 3339 in UTC, `2026-01-31T12:00:00.123456Z`."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


def _metrics(job: Job) -> dict[str, Any]:
    """Return the durations in seconds; nothing is known before the end."""
    if not job.status.is_terminal or job.completed is None:
        return {}
    metrics: dict[str, Any] = {"total_time": (job.completed - job.created) / 1e6}
    if job.started is not None:
        metrics["queue_time"] = (job.started - job.created) / 1e6
    if job.status is not Status.CANCELED and job.predict_ms is not None:
        metrics["predict_time"] = job.predict_ms / 1000
        metrics["batch_size"] = job.batch_size
    return metrics


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Write a second; thousands of answers share it, and strftime costs 5 µs."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
