"""What a predict worker takes out of a model's lanes: entries, and their results."""

from dataclasses import dataclass, replace
from typing import Any

import redis
from redis.exceptions import ResponseError

from shared.domain.identifiers import Digest, PredictionId, VersionKey
from shared.domain.records import record
from shared.queue import keys


@record()
class Entry:
    """One computation: an image, the version it is bound to, and where its result goes.

    `lane` is the stream it came from, `waiting` its wait list's key, `cache` its output's. `attempts` counts this one.
    `image` is empty until it is read where it is kept beside the entry (`with_images`). `plan` is a pipeline's text
    (`shared.domain.pipeline_plan`), whose digest is in `version`; empty for a single model. `trace` is the span of the
    request that brought the first job, `upload_trace` that of the batch's upload; each is empty where it has none.
    """

    lane: str
    id: str
    waiting: str
    cache: str
    version: VersionKey
    image: bytes
    attempts: int = 1
    plan: str = ""
    trace: str = ""
    upload_trace: str = ""

    @property
    def submitted_ms(self) -> int:
        """When it came, in milliseconds of Redis' clock: a stream's ids begin with it."""
        return int(self.id.partition("-")[0])

    @property
    def digest(self) -> Digest:
        """The image's SHA-256, by which its output is cached."""
        return Digest(self.cache.rpartition(":")[2])

    @property
    def is_bulk(self) -> bool:
        """Whether it came in a bulk lane."""
        return not self.lane.endswith(keys.INTERACTIVE)


@record()
class Result:
    """How one computation ended; `output` is JSON, empty unless `state` is succeeded.

    One that is not `cacheable` is not kept for the next one who sends the image.
    """

    entry: Entry
    state: str
    output: bytes = b""
    error: str = ""
    code: str = ""
    cacheable: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who waits for a computation: the first job, its batch and HTTP request where it has one, and how many others."""

    id: PredictionId
    batch: str
    request_id: str
    others: int


@dataclass(frozen=True, slots=True)
class Pull:
    """Entries now leased to this consumer, and whether every lane was seen empty after them."""

    entries: list[Entry]
    lanes_empty: bool


def with_images(client: redis.Redis, entries: list[Entry]) -> list[Entry]:
    """Return the entries with their images, which are read here where they are kept beside the entries.

    An entry that was deleted meanwhile, because nobody waits for it any more, is left out.
    """
    beside = [entry for entry in entries if not entry.image]
    if not beside:
        return entries
    found: Any = client.mget([keys.image(entry.lane, entry.id) for entry in beside])
    images = {(entry.lane, entry.id): image for entry, image in zip(beside, found, strict=True)}
    read = (replace(entry, image=entry.image or images[entry.lane, entry.id] or b"") for entry in entries)
    return [entry for entry in read if entry.image]


def read_entries(lane: str, reply: Any) -> list[Entry]:
    """Return the entries of XREADGROUP's reply; a lane that nobody has submitted to is empty. Raises other errors."""
    if isinstance(reply, ResponseError) and str(reply).startswith("NOGROUP"):
        return []
    if isinstance(reply, Exception):
        raise reply
    return [read_entry(lane, id, fields) for _, found in reply for id, fields in found]


def read_entry(lane: str, id: bytes, fields: dict[bytes, bytes], *, attempts: int = 1) -> Entry:
    """Return one entry of a lane's stream."""
    version, _, plan = fields[b"version"].decode().partition(" ")
    # In the order of the fields: by their names costs a fifth more, and every image is read here.
    return Entry(
        lane,
        id.decode(),
        fields[b"waiting"].decode(),
        fields[b"cache"].decode(),
        VersionKey(version),
        fields.get(b"image", b""),
        attempts,
        plan,
        fields[b"trace"].decode() if b"trace" in fields else "",
        fields[b"upload_trace"].decode() if b"upload_trace" in fields else "",
    )
