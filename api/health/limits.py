"""The limits that hold for everybody, and how much of them is in use, as `/health/ready` shows them."""

import asyncio
from typing import Any, Final

from api.state.gateway import Gateway
from shared.queue.producer.file_quota import quota

# Bulk lanes take turns, so those in use are among the first: enough to see that lanes fill.
_MOST_LANES: Final = 20


def limits_in_force(gate: Gateway, *, wire_holds: bool) -> dict[str, Any]:
    """Return the limits beyond which requests are refused; `wire` is None where another server serves, as in tests."""
    intake, bulk, queue, files, wire = gate.intake, gate.bulk, gate.queue, gate.files, gate.wire
    bounds = {
        "head_bytes": wire.max_head_bytes,
        "head_fields": wire.max_head_fields,
        "target_bytes": wire.max_target_bytes,
        "head_seconds": wire.head_timeout.total_seconds(),
        "body_seconds": wire.body_patience.total_seconds(),
        "body_bytes_a_second": wire.body_rate,
        "answer_seconds": wire.answer_patience.total_seconds(),
    }
    return {
        "image_bytes": intake.max_image_bytes,
        "image_pixels": intake.max_image_pixels,
        "metadata_bytes": intake.max_metadata_bytes,
        "bytes_in_hand": gate.body_memory.most,
        "owner_bytes_in_hand": gate.body_memory.most_of_owner,
        "batch_items": bulk.max_items,
        "archive_bytes": bulk.max_archive_bytes,
        "archive_unpacked_bytes": bulk.max_unpacked_bytes,
        "archive_entries": bulk.max_entries,
        "archive_ratio": bulk.max_ratio,
        "files": files.max_files,
        "file_bytes": quota(gate.files, memory=gate.redis_memory.limit_bytes).max_bytes,
        "file_bytes_a_second": files.max_bytes_a_second,
        "files_memory_share": files.memory_share,
        "lane_depth": queue.max_lane_depth,
        "lane_bytes": queue.max_lane_bytes,
        "model_patience_seconds": queue.model_patience.total_seconds(),
        "memory_share": gate.redis_memory.share,
        "wire": bounds if wire_holds else None,
    }


async def usage(gate: Gateway) -> dict[str, Any]:
    """Return how much of the limited resources is in use; raises StorageUnavailable."""
    models = [route.model for route in await gate.models.all()]
    depths = await asyncio.gather(
        *(gate.producer.models.deepest_lane(model, most_bulk_lanes=_MOST_LANES) for model in models)
    )
    return {
        "bytes_in_hand": gate.body_memory.bytes,
        "memory_bytes": gate.redis_memory.used_bytes,
        "memory_limit_bytes": gate.redis_memory.limit_bytes or None,
        "lane_depths": dict(zip(models, depths, strict=True)),
    }
