"""The names of all Redis keys, in one place; `shared/queue/scripts` takes them from here."""

import re
from typing import Final
from urllib.parse import unquote

from shared.domain.identifiers import (
    BatchId,
    Digest,
    FileId,
    KeyId,
    ModelName,
    Owner,
    PredictionId,
    VersionKey,
)

_PREDICT: Final = "predict."
_ESCAPED: Final = re.compile(r"[,\x00-\x1f]|%(?=[0-9A-Fa-f]{2})")
INTERACTIVE: Final = "interactive"
_HEAVY: Final = "heavy~"
DEADLINES: Final = "deadlines"
"""Sorted set, microseconds: unfinished ids with a `Cancel-After`."""
FINISHED: Final = "finished"
"""Stream, group `recorders`: the complete records, until they are committed."""
RECORDERS: Final = "recorders"
WORKERS: Final = "workers"
DONE: Final = "done"
"""Channel: the ids that ended, space-separated, one message a script call."""
BELLS: Final = "bells"
"""Counter behind the bells' tokens."""
NOTHING: Final = "nothing"
"""Never exists: deleting it is a write that memory limits never refuse."""
MODELS: Final = "models"
"""Set: the names that have a route."""
RETIRED: Final = "retired"
"""Set: the names that somebody took out of service; no route is published for them until they are restored."""
LEAVING: Final = "leaving"
"""Sorted set, microseconds: names whose route was withdrawn, and when; images may still wait for them."""
PURGING: Final = "purging"
"""Sorted set, microseconds: owners whose everything is being deleted, each until when its mark holds."""
RECORD_BELL: Final = "bell:record"
RECORD_QUEUE: Final = "record"
UPKEEP_QUEUE: Final = "upkeep"
WEBHOOK_BELL: Final = "bell:webhooks"
WEBHOOK_QUEUE: Final = "webhooks"
STARTED: Final = "started"
"""Stream, bounded: predictions that began and whose webhook wants to know."""
UPLOADS: Final = "uploads"
"""Sorted set, microseconds: batches whose gateway must give signs of life, being read or being canceled."""
IDEMPOTENCY_KEYS: Final = "idempotency"
"""Sorted set, microseconds: when each idempotency key came, for the purge (they have no TTL)."""
FILES: Final = "files"
"""Sorted set, microseconds: when each file's time is over, for the purge (they have no TTL)."""
FILE_BYTES: Final = "file_bytes"
"""Hash: how many bytes of files each owner keeps; under the empty name all of them together."""


def job_prefix() -> str:
    """Return what every job's key begins with."""
    return "job:"


def job(id: PredictionId) -> str:
    """Hash: one prediction."""
    return f"{job_prefix()}{id}"


def batch_prefix() -> str:
    """Return what every batch's key begins with."""
    return "batch:"


def batch(id: BatchId) -> str:
    """Hash: one batch until it has ended and is recorded."""
    return f"{batch_prefix()}{id}"


def batches_prefix() -> str:
    """Return what every owner's set of batches begins with."""
    return "batches:"


def batches(owner: Owner) -> str:
    """Sorted set, microseconds: an owner's batches that have not ended."""
    return f"batches:{owner}"


def bulk_lane(batch: BatchId | str) -> str:
    """Name of one batch's lane; its priority class is bulk."""
    return f"bulk:{batch}"


def heavy_lane(owner: Owner) -> str:
    """Name of an owner's lane for single images that take long to decode; it takes turns with the bulk lanes."""
    return bulk_lane(f"{_HEAVY}{owner}")


def heavy_mark() -> str:
    """Return what stands in every heavy lane's key, and in no other's."""
    return f":{bulk_lane(_HEAVY)}"


def lane(model: ModelName, lane: str) -> str:
    """Stream, group `workers`: one entry a computation. `lane` is INTERACTIVE or a `bulk_lane`."""
    return f"lane:{model}:{lane}"


def signs(role: str) -> str:
    """Sorted set, microseconds: the workers of a role beside predicting, by their last sign of life."""
    return f"signs:{role}"


def rotation(model: ModelName) -> str:
    """List: the bulk lane streams that take turns."""
    return f"bulk:{model}"


def waiting(owner: Owner, model: ModelName, *, lane: str, version: VersionKey, digest: Digest) -> str:
    """List `[entry, id, id, …]`: which of an owner's jobs want this computation."""
    return f"waiting:{lane}:{owner}:{model}:{version}:{digest}"


def cache_prefix() -> str:
    """Return what every cached output's key begins with."""
    return "cache:"


def cache(owner: Owner, model: ModelName, *, version: VersionKey, digest: Digest) -> str:
    """Return the key of a string, the output as JSON.

    Each owner has one of its own: who is answered from another's would learn that another had sent the same image.
    """
    return f"{cache_prefix()}{owner}:{model}:{version}:{digest}"


def route(model: ModelName) -> str:
    """Return the key of a string, the route as JSON."""
    return f"route:{model}"


def unserved(model: ModelName) -> str:
    """Return the key of a string, microseconds: since when no worker has been seen serving a model that sweeps watch.

    It expires where no sweep comes: nobody knows then, and the count begins anew.
    """
    return f"unserved:{model}"


def bell(model: ModelName) -> str:
    """Return the key of a string, the id of the Celery task that is ringing."""
    return f"bell:{model}"


def predict_queue(model: ModelName) -> str:
    """Celery queue of a model's predict workers: `predict.<model>`.

    A name's comma, which separates queues in Celery's own option, is written `%2C`, and likewise what would be read as
    such an escape.
    """
    return f"{_PREDICT}{_ESCAPED.sub(lambda found: f'%{ord(found[0]):02X}', model)}"


def model_of_queue(queue: str) -> ModelName | None:
    """Return the model whose predict workers consume a Celery queue; None for a queue of another kind."""
    return ModelName(unquote(queue.removeprefix(_PREDICT))) if queue.startswith(_PREDICT) else None


def inflight_prefix() -> str:
    """Return what every owner's set of unfinished ids begins with."""
    return "inflight:"


def inflight(owner: Owner) -> str:
    """Sorted set, microseconds: unfinished ids of an owner."""
    return f"inflight:{owner}"


def rate(key: KeyId) -> str:
    """Return the key of a string, microseconds: when all that was taken of an API key's rate is used up."""
    return f"rate:{key}"


def idempotency(owner: Owner, key: str) -> str:
    """Return the key of a string, id and fingerprint of the request that came first."""
    return f"idempotency:{owner}:{key}"


def file_prefix() -> str:
    """Return what every uploaded file's key begins with."""
    return "file:"


def file(id: FileId) -> str:
    """Hash: one uploaded file."""
    return f"{file_prefix()}{id}"


def upload_rate(owner: Owner) -> str:
    """Return the key of a string, microseconds: when an owner's uploaded bytes are all used up."""
    return f"upload_rate:{owner}"


def files_of(owner: Owner) -> str:
    """Sorted set, microseconds: an owner's files by creation."""
    return f"files:{owner}"


def workers(model: ModelName) -> str:
    """Sorted set, microseconds: a model's predict workers by their last sign of life."""
    return f"workers:{model}"
