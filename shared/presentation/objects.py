"""The JSON objects of the HTTP API, a prediction and a batch, for the gateway's answers and for webhooks alike."""

from typing import Any

from shared.domain.batch import Batch
from shared.domain.job import Job
from shared.domain.large_masks import shown_output
from shared.domain.prediction import Status
from shared.domain.timestamps import now_us, rfc3339
from shared.presentation.stream_tokens import StreamTokens


def prediction_object(job: Job, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return a prediction as the HTTP API shows it. `base_url` is the gateway's address, without a slash at the end."""
    request, id = job.request, job.id
    url = f"{base_url}/v1/predictions/{id}"
    return {
        "id": id,
        "model": request.model,
        "version": request.version,
        "variant": request.variant,
        "status": job.status,
        "input": {"image": request.image.members()},
        "output": shown_output(job.output, url=url),
        "error": job.error,
        "error_code": job.code,
        "logs": "",
        "source": job.source,
        "attempts": job.attempts,
        "batch_id": job.batch or None,
        "retry_of": request.retry_of,
        "metadata": request.metadata,
        "data_removed": False,
        "metrics": _metrics(job),
        "created_at": rfc3339(job.created),
        "started_at": rfc3339(job.started),
        "completed_at": rfc3339(job.completed),
        "urls": {
            "get": url,
            "cancel": f"{url}/cancel",
            "retry": f"{url}/retry",
            "stream": f"{url}/stream?token={tokens.sign(id)}",
            "web": f"{base_url}/#/predictions/{id}",
        },
    }


def batch_object(batch: Batch, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return a batch as the HTTP API shows it. `base_url` is the gateway's address, without a slash at the end."""
    url = f"{base_url}/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "status": batch.status,
        "model": batch.model,
        "request_counts": item_counts(batch),
        "errors": batch.errors,
        **progress_members(batch, now=now_us()),
        "retry_of": batch.retry_of,
        "skipped": batch.skipped,
        "skipped_files": batch.skipped_files,
        "created_at": rfc3339(batch.created),
        "completed_at": rfc3339(batch.completed),
        "metadata": batch.metadata,
        "urls": {
            "get": url,
            "results": f"{url}/results",
            "cancel": f"{url}/cancel",
            "retry": f"{url}/retry",
            "stream": f"{url}/stream?token={tokens.sign(batch.id)}",
        },
    }


def listed_batch_object(batch: Batch, *, base_url: str, tokens: StreamTokens) -> dict[str, Any]:
    """Return a batch as lists show it: without the names of skipped files, which take up to 100 KB a batch."""
    listed = batch_object(batch, base_url=base_url, tokens=tokens)
    del listed["skipped_files"]
    return listed


def progress_members(batch: Batch, *, now: int) -> dict[str, float | None]:
    """Return a batch's rate and the seconds that are left at that rate."""
    rate, left = batch.progress(now)
    return {
        "images_per_second": None if rate is None else round(rate, 3),
        "seconds_left": None if left is None else round(left, 1),
    }


def item_counts(batch: Batch) -> dict[str, int]:
    """Return a batch's numbers of items by status."""
    return {
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "canceled": batch.canceled,
    }


def _metrics(job: Job) -> dict[str, Any]:
    """Return a prediction's durations in seconds; none before its end."""
    if not job.status.is_terminal or job.completed is None:
        return {}
    metrics: dict[str, Any] = {"total_time": (job.completed - job.created) / 1e6}
    if job.started is not None:
        metrics["queue_time"] = (job.started - job.created) / 1e6
    if job.status is not Status.CANCELED and job.predict_ms is not None:
        metrics["predict_time"] = job.predict_ms / 1000
        metrics["batch_size"] = job.batch_size
    return metrics
