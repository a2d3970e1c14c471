"""The names of all Redis keys, and what is in them. The Lua scripts get them from here, through `lua`.

Over 300 lines: a name is looked up here, and two are never alike.
"""

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
"""Channel: the ids of jobs that ended, space-separated, one message for each script call."""
BELLS: Final = "bells"
"""Counter that makes the bells' tokens unique."""
NOTHING: Final = "nothing"
"""Never exists. Deleting it is a write that Redis accepts even when its memory is full."""
MODELS: Final = "models"
"""Set: the names that have a route."""
RETIRED: Final = "retired"
"""Set: names that an operator took out of service; no route is published for them until they are restored."""
LEAVING: Final = "leaving"
"""Sorted set, microseconds: names whose route was withdrawn, by when that was; images may still wait for them."""
ROUTE_READERS: Final = "route_readers"
"""Sorted set, microseconds: the gateways, by when the routes that they answer by were read."""
PURGING: Final = "purging"
"""Sorted set, microseconds: owners that are being purged, by when their mark expires."""
PURGED: Final = "purged"
"""Sorted set, microseconds: digests of owners that were purged within the last hour, by when that ended."""
MODEL_ORDERS: Final = "model_orders"
"""Sorted set, microseconds: ids of orders to change what serves that are not answered, by when they expire."""
MODEL_ORDERS_BELL: Final = "model_orders:bell"
"""List that expires: an id for each order that was placed, which wakes one of the workers that wait for it."""
REGISTRY_WORKERS: Final = "registry_workers"
"""String that expires: a worker takes orders to change what serves."""
PICTURE_STORE: Final = "picture_store"
"""String, JSON: the settings of the store of kept pictures, by which commands find it; there is no login in it."""
PICTURES_SWEPT: Final = "pictures_swept"
"""String that expires: an upkeep worker has begun to sweep the store of kept pictures."""
PREDICT_QUEUE: Final = "predict"
"""Celery queue of workers that serve every registered model that has a champion; no message is ever sent to it."""
SERVING_ALL: Final = "serving_all"
"""Sorted set, microseconds: workers that serve every such model and have loaded, or failed to, what they first read."""
RECORD_BELL: Final = "bell:record"
RECORD_QUEUE: Final = "record"
UPKEEP_QUEUE: Final = "upkeep"
WEBHOOK_BELL: Final = "bell:webhooks"
WEBHOOK_QUEUE: Final = "webhooks"
REGISTRY_HINTS: Final = "registry_hints"
"""Stream of the last few hints that the registry has changed, or that a worker has read a change."""
SHADOW_RESULTS: Final = "shadow_results"
"""Stream, group `recorders`: what shadows answered, until it is committed."""
STARTED: Final = "started"
"""Stream, bounded: predictions that began and whose webhook asks for the start event."""
UPLOADS: Final = "uploads"
"""Sorted set, microseconds: batches being read or canceled, by their gateway's last sign of life."""
IDEMPOTENCY_KEYS: Final = "idempotency"
"""Sorted set, microseconds: idempotency keys by when they came. They have no TTL; sweeps purge them."""
FILES: Final = "files"
"""Sorted set, microseconds: uploaded files by when they expire. They have no TTL; sweeps purge them."""
IMAGE_BYTES: Final = "image_bytes"
"""Hash: bytes of the images that are kept beside a lane's entries, by the lane's stream."""
FAILED_IMAGES: Final = "failed_images"
"""Sorted set, microseconds: images kept of failed computations, as size in bytes and key, by when they failed."""
FAILED_BYTES: Final = "failed_image_bytes"
"""String: bytes of the images in FAILED_IMAGES."""
FAILED_BYTES_BY_OWNER: Final = "failed_image_owners"
"""Sorted set, bytes: owners by the size of their images in FAILED_IMAGES. Who holds most is evicted from first."""
FILE_BYTES: Final = "file_bytes"
"""Hash: bytes of files by owner; the empty name has the sum of all owners."""

FIGURES: Final = "figures"
"""Sorted set, microseconds: processes by when they last published their figures."""
STATUS_SLOT: Final = "status_slot"
"""String that expires: the slot of time, in milliseconds since 1970, whose sample some process keeps or has kept."""
STATUS_SAMPLES: Final = "status_samples"
"""Stream, bounded: one sample of the status (JSON) for each slot; an entry's id is its slot."""
STATUS_ALERTS: Final = "status_alerts"
"""String that expires, JSON: since when alerts have held, in microseconds."""


def figures_prefix() -> str:
    """Return what the key of every process' figures begins with."""
    return f"{FIGURES}:"


def figures(process: str) -> str:
    """Return the key of a string that expires: what a process says about itself, as JSON."""
    return f"{figures_prefix()}{process}"


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
    """Return the name of one batch's lane, among the bulk lanes."""
    return f"bulk:{batch}"


def heavy_lane(owner: Owner) -> str:
    """Return the name of an owner's lane for single images that take long to decode, in rotation with bulk lanes."""
    return bulk_lane(f"{_HEAVY}{owner}")


def heavy_mark() -> str:
    """Return a part that the keys of all heavy lanes have, and no other lane's."""
    return f":{bulk_lane(_HEAVY)}"


def lane(model: ModelName, lane: str) -> str:
    """Stream, group `workers`: one entry for each computation. `lane` is INTERACTIVE or a `bulk_lane`."""
    return f"lane:{model}:{lane}"


def shadow_lane(model: ModelName) -> str:
    """Stream, group `workers`: images that the champion has answered and that the model's shadow is to predict too."""
    return f"shadow:{model}"


def image_prefix() -> str:
    """Return what the key of every image that is kept beside its entry begins with."""
    return "image:"


def image(stream: str, entry: str) -> str:
    """Return the key of a string: the image of a lane's entry, where it is too large to be in the entry itself."""
    return f"{image_prefix()}{stream}:{entry}"


def failed_image_prefix() -> str:
    """Return what the key of every image that is kept after its computation failed begins with."""
    return "failed_image:"


def failed_image(owner: Owner, digest: Digest) -> str:
    """Return the key of a string that expires: an image whose computation failed, so that it can be tried again."""
    return f"{failed_image_prefix()}{owner}:{digest}"


def failed_images_prefix() -> str:
    """Return what the key of every owner's images that are kept after their computation failed begins with."""
    return f"{FAILED_IMAGES}:"


def failed_images_of(owner: Owner) -> str:
    """Return the key of a sorted set, microseconds: an owner's members of FAILED_IMAGES."""
    return f"{failed_images_prefix()}{owner}"


def staged_prefix() -> str:
    """Return what every staged image's key begins with."""
    return "staged:"


def staged_image(id: PredictionId) -> str:
    """Return the key of a string that expires: a job's image before the submit script takes it over."""
    return f"{staged_prefix()}{id}"


def signs(role: str) -> str:
    """Sorted set, microseconds: workers of a role other than predicting, by their last sign of life."""
    return f"signs:{role}"


def rotation(model: ModelName) -> str:
    """List: the streams of the bulk lanes, in rotation."""
    return f"bulk:{model}"


def waiting(owner: Owner, model: ModelName, *, lane: str, version: VersionKey, digest: Digest) -> str:
    """List `[entry, job, job, …]`: the wait list, the jobs of an owner that wait for this computation."""
    return f"waiting:{lane}:{owner}:{model}:{version}:{digest}"


def cache_prefix() -> str:
    """Return what every cached output's key begins with."""
    return "cache:"


def cache(owner: Owner, model: ModelName, *, version: VersionKey, digest: Digest) -> str:
    """Return the key of a string, the output as JSON.

    Each owner has its own: an answer from another owner's would reveal that the other had sent the same image.
    """
    return f"{cache_prefix()}{owner}:{model}:{version}:{digest}"


def route(model: ModelName) -> str:
    """Return the key of a string, the route as JSON."""
    return f"route:{model}"


def unserved(model: ModelName) -> str:
    """Return the key of a string, microseconds: since when sweeps have seen no worker serve a model.

    It expires if no sweep renews it; the time then counts from the next sweep.
    """
    return f"unserved:{model}"


def bell(model: ModelName) -> str:
    """Return the key of a string: the token of the bell that rings, which is its Celery task's id."""
    return f"bell:{model}"


def predict_queue(model: ModelName) -> str:
    """Celery queue of a model's predict workers: `predict.<model>`.

    A comma in the name is written `%2C`, because commas separate queues in Celery's option; control characters, and
    text that already looks like such an escape, are escaped likewise.
    """
    return f"{_PREDICT}{_ESCAPED.sub(lambda found: f'%{ord(found[0]):02X}', model)}"


def model_of_queue(queue: str) -> ModelName | None:
    """Return the model whose predict workers consume a Celery queue; None for a queue of another kind."""
    return ModelName(unquote(queue.removeprefix(_PREDICT))) if queue.startswith(_PREDICT) else None


CANARIES: Final = "canaries"
"""Hash: each running canary's state by its model, written by the workers that move them, with a TTL."""


def canary_figures(model: ModelName) -> str:
    """Return the key of a canary's latest figures, a string with a TTL."""
    return f"canary:{model}:figures"


def model_order(id: str) -> str:
    """Return the key of an order to change what serves: a hash with a TTL, of `order`, `expires`, `plan`, `answer`."""
    return f"model_order:{id}"


def model_turn(model: ModelName) -> str:
    """Return the key of the turn to change what serves of a model, a string with a TTL."""
    return f"model_turn:{model}"


def registry_answer(scope: str) -> tuple[str, str, str]:
    """Return the keys of what the registry answered one kind of question: when and its digest, the models, a mark.

    The mark is there while a worker asks, and for a while after it failed to. All are strings with a TTL.
    """
    return f"registry:{scope}:read", f"registry:{scope}:models", f"registry:{scope}:asking"


def load_attempts(model: ModelName, version: str, host: str) -> str:
    """Hash: the attempts of one host's workers to load a version; it is deleted once one has."""
    return f"load_attempts:{model}:{version}:{host}"


def loaded(model: ModelName) -> str:
    """Sorted set, microseconds: those of a model's predict workers that have its champion in memory now."""
    return f"loaded:{model}"


def inflight_prefix() -> str:
    """Return what every owner's set of unfinished ids begins with."""
    return "inflight:"


def inflight(owner: Owner) -> str:
    """Sorted set, microseconds: unfinished ids of an owner."""
    return f"inflight:{owner}"


def rate(key: KeyId) -> str:
    """Return the key of a string, microseconds: when everything taken of an API key's rate is paid off (GCRA)."""
    return f"rate:{key}"


def idempotency(owner: Owner, key: str) -> str:
    """Return the key of a string: id and fingerprint of the first request with this idempotency key."""
    return f"idempotency:{owner}:{key}"


def file_prefix() -> str:
    """Return what every uploaded file's key begins with."""
    return "file:"


def file(id: FileId) -> str:
    """Hash: one uploaded file."""
    return f"{file_prefix()}{id}"


def upload_rate(owner: Owner) -> str:
    """Return the key of a string, microseconds: when all bytes that an owner uploaded are paid off (GCRA)."""
    return f"upload_rate:{owner}"


def files_of(owner: Owner) -> str:
    """Sorted set, microseconds: an owner's files by creation."""
    return f"files:{owner}"


def workers(model: ModelName) -> str:
    """Sorted set, microseconds: a model's predict workers by their last sign of life."""
    return f"workers:{model}"


def unable_workers(model: ModelName, version: VersionKey) -> str:
    """Set: the model's workers that could not load a version lately."""
    return f"unable:{model}:{version}"


def loading_turns(model: ModelName) -> str:
    """Sorted set, microseconds: the workers that load a version of a model now, by when their turns end."""
    return f"loading:{model}"


def champion(model: ModelName) -> str:
    """Hash: the version that serves as champion, the one before it, and how its first minutes went."""
    return f"champion:{model}"


def prepared(model: ModelName, version: VersionKey) -> str:
    """Set that expires: the workers that have loaded a version that is about to serve, or failed to."""
    return f"prepared:{model}:{version}"
