"""One sample of the status, kept for each slot of time: what the plots of the last hour show."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from shared.domain.status.percentiles import Percentiles
from shared.domain.status.service_status import Figures, Submissions

SLOT: Final = timedelta(seconds=10)
KEPT: Final = timedelta(hours=1)
MOST: Final = KEPT // SLOT

COLUMNS: Final = (
    "images_per_second", "submitted_per_second", "cached_per_second", "refused_per_second", "failed_per_second",
    "rows_per_second", "requests_per_second", "request_errors_per_second", "batch_size", "cache_share",
    "interactive_entries", "bulk_entries", "oldest_seconds", "to_record",
    "latency_p50_seconds", "latency_p95_seconds", "latency_p99_seconds", "wait_p95_seconds", "forward_p95_seconds",
    "workers", "device_busy", "device_memory_bytes", "redis_memory_bytes",
    "webhooks_per_second", "webhooks_failed_per_second",
)  # fmt: skip
"""What a sample holds, in this order."""


def sample_of(figures: Figures) -> list[float | None]:
    """Return a sample's values in the order of COLUMNS; None where one is unknown."""
    submitted, requests, recording, webhooks = (
        figures.submissions,
        figures.requests,
        figures.recording,
        figures.webhooks,
    )
    predicting = [process for role in figures.roles if role.role == "predict" for process in role.processes]
    devices = [process.device for process in predicting if process.device]
    busy = [process.busy for process in predicting if process.busy is not None]
    lanes = [lane for model in figures.models for lane in (model.interactive, model.bulk) if lane]
    known = recording is not None
    values: dict[str, float | None] = {
        "images_per_second": figures.images_per_second,
        "submitted_per_second": _accepted(submitted) if submitted else None,
        "cached_per_second": submitted.cached_per_second if submitted else None,
        "refused_per_second": submitted.refused_per_second if submitted else None,
        "failed_per_second": round(sum(model.failed_per_second for model in figures.models), 2),
        "rows_per_second": recording.rows_per_second if recording else None,
        "requests_per_second": requests.per_second if requests else None,
        "request_errors_per_second": requests.failed_per_second if requests else None,
        "batch_size": figures.batch_size,
        "cache_share": figures.cache_share,
        "interactive_entries": sum(one.interactive.entries for one in figures.models if one.interactive)
        if known
        else None,
        "bulk_entries": sum(one.bulk.entries for one in figures.models if one.bulk) if known else None,
        "oldest_seconds": max((lane.oldest_seconds for lane in lanes), default=0.0) if known else None,
        "to_record": recording.waiting if recording else None,
        "wait_p95_seconds": _p95(figures.wait_seconds),
        "forward_p95_seconds": _p95(figures.forward_seconds),
        "workers": len(predicting),
        "device_busy": round(sum(busy) / len(busy), 3) if busy else None,
        "device_memory_bytes": sum(one.allocated_bytes for one in devices) if devices else None,
        "redis_memory_bytes": figures.memory_bytes,
        "webhooks_per_second": webhooks.delivered_per_second if webhooks else None,
        "webhooks_failed_per_second": webhooks.failed_per_second if webhooks else None,
    }
    latency = figures.latency_seconds
    for name in ("p50", "p95", "p99"):
        values[f"latency_{name}_seconds"] = getattr(latency, name) if latency else None
    return [values[column] for column in COLUMNS]


def _accepted(rates: Submissions) -> float:
    return round(
        rates.queued_per_second + rates.joined_per_second + rates.cached_per_second + rates.repeated_per_second, 2
    )


def _p95(found: Percentiles | None) -> float | None:
    return found.p95 if found else None


def history(samples: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return samples, each its time in milliseconds and its values by column, as `at` and one list a column.

    Where none was kept for a while, as nothing ran, one without values says so: a line is not drawn over it.
    """
    slot_ms = SLOT // timedelta(milliseconds=1)
    shown: list[tuple[int, Mapping[str, Any]]] = []
    for at, values in samples:
        if shown and at - shown[-1][0] > 2 * slot_ms:
            shown.append((shown[-1][0] + slot_ms, {}))
        shown.append((at, values))
    columns: dict[str, Any] = {"at": [at // 1000 for at, _ in shown]}
    return columns | {column: [values.get(column) for _, values in shown] for column in COLUMNS}
