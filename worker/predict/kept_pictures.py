"""Keeps pictures to learn from: written to their store by threads of their own, beside predicting.

A worker that is killed loses those that wait; predicting waits for none.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import redis
from prometheus_client import CollectorRegistry

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.domain.keep_rule import NONE_KEPT, KeepRule, confidence_of, parse_keep_rule
from shared.domain.prediction import Status
from shared.domain.timestamps import now_us
from shared.observability.metrics import PictureMetrics
from shared.pictures.names import picture_name
from shared.pictures.opening import open_store, store_address
from shared.pictures.picture_store import PictureStore, StoreError
from shared.queue import keys, purge_marks
from shared.queue.consumer.entries import Entry, Result
from shared.queue.picture_store import note_store
from shared.settings import KeepImages, SettingsError, read

log = logging.getLogger(__name__)

THREADS: Final = 4
"""A put to a bucket takes 10 to 50 ms, nearly all of it waiting."""
ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.5
"""After a failure; doubled after the next one."""
MOST_WAITING: Final = 10_000
LONGEST_WAIT_SECONDS: Final = 600
"""A picture that waited longer, behind a store that hangs, is not kept: how long a purge is remembered bounds it."""
_DIGEST_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class WaitingPicture:
    """A picture to be kept, and since when it waits: microseconds of the clock, for comparing with purges."""

    owner: Owner
    model: ModelName
    digest: Digest
    image: bytes
    since: int


class KeptPictures:
    """The pictures of one process that wait to be written. `keep` may be called from any thread and never blocks."""

    def __init__(
        self,
        store: PictureStore,
        client: redis.Redis,
        metrics: PictureMetrics,
        *,
        most_bytes: int,
        usual: KeepRule = NONE_KEPT,
        threads: int = THREADS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`client` tells of owners that are being purged; `most_bytes` of pictures wait at most.

        `usual` is the rule of models whose tags have none.
        """
        self.usual = usual
        self._store = store
        self._client = client
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._pause_seconds = pause_seconds
        self._waiting: deque[WaitingPicture] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = 0
        self._stopped = threading.Event()
        self._most_threads = threads
        self._threads: list[threading.Thread] = []
        self._failing = False

    def keep(self, owner: Owner, model: ModelName, digest: Digest, image: bytes) -> None:
        """Let a picture be written soon; while too many wait, it is not kept and counted."""
        with self._changed:
            full = self._bytes + len(image) > self._most_bytes or len(self._waiting) >= MOST_WAITING
            if not full and not self._stopped.is_set():
                self._waiting.append(WaitingPicture(owner, model, digest, image, now_us()))
                self._bytes += len(image)
                self._start_threads()
                self._changed.notify()
                return
        self._metrics.count("no_room")

    def stop(self, *, seconds: float = 5.0) -> None:
        """Write what waits for so long at most; the rest is not kept."""
        self.wait_until_written(seconds=seconds)
        with self._changed:
            self._stopped.set()
            for _ in self._waiting:
                self._metrics.count("no_room")
            self._waiting.clear()
            self._changed.notify_all()

    def wait_until_written(self, *, seconds: float) -> bool:
        """Wait until nothing waits to be written; return False where that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout=seconds)

    def _start_threads(self) -> None:
        """Start another thread where all are at work; a process whose rules keep nothing has none."""
        if len(self._threads) < self._most_threads and self._writing >= len(self._threads):
            thread = threading.Thread(target=self._run, name=f"keep-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
                if not self._waiting:
                    return
                picture = self._waiting.popleft()
                self._writing += 1
            outcome = "failed"
            try:
                outcome = self._write(picture)
            except (Exception, SystemExit) as error:  # noqa: BLE001  the next picture may do; this thread must go on
                log.warning("picture_not_kept", extra={"error": repr(error)[:300]})
            finally:
                self._metrics.count(outcome)
                with self._changed:
                    self._bytes -= len(picture.image)
                    self._writing -= 1
                    self._changed.notify_all()

    def _write(self, picture: WaitingPicture) -> str:
        """Write one picture, trying a few times; return the outcome to count."""
        name = picture_name(picture.owner, picture.model, picture.digest, picture.image)
        for attempt in range(ATTEMPTS):
            if attempt and self._stopped.wait(self._pause_seconds * 2 ** (attempt - 1)):
                break
            if now_us() - picture.since > LONGEST_WAIT_SECONDS * 1_000_000:
                break
            try:
                if purge_marks.is_purged(self._client, picture.owner, since=picture.since):
                    return "purged"
                outcome = "kept" if self._store.keep(name, picture.image) else "there"
                if outcome == "kept" and purge_marks.is_purged(self._client, picture.owner, since=picture.since):
                    # The purge may have passed this name before the picture was there.
                    self._store.delete([name])
                    return "purged"
            except (StoreError, redis.RedisError) as error:
                self._tell(str(error))
                continue
            self._tell("")
            return outcome
        return "failed"

    def _tell(self, reason: str) -> None:
        """Log when the store begins to fail and when it is over, not with every picture."""
        if reason and not self._failing:
            log.warning("pictures_not_kept", extra={"reason": reason})
        elif not reason and self._failing:
            log.info("pictures_kept_again")
        self._failing = bool(reason)


class ModelPictures:
    """Chooses which of one model's pictures are kept, by the rule that `rule` returns."""

    def __init__(self, model: ModelName, kept: KeptPictures, rule: Callable[[], KeepRule | None]) -> None:
        """`rule` returns what the model's tags say, None where they say nothing and the setting counts."""
        self._model = model
        self._kept = kept
        self._tagged = rule

    def add(self, results: Sequence[Result]) -> None:
        """Keep those of a micro-batch's pictures that the rule wants; failed ones and pipelines' are not among them.

        A pipeline's confidence is that of several models together, and its entries wait in the lane of any of them.
        """
        rule = self._rule()
        if rule.keeps_none:
            return
        for result in results:
            if result.state != Status.SUCCEEDED or result.entry.plan or (whose := self._whose(result.entry)) is None:
                continue
            owner, digest = whose
            if rule.draws(digest) or (rule.below is not None and rule.is_below(_confidence(result.output))):
                self._kept.keep(owner, self._model, digest, result.entry.image)

    def _rule(self) -> KeepRule:
        tagged = self._tagged()
        return self._kept.usual if tagged is None else tagged

    def keep_disagreement(self, owner: Owner, digest: Digest, image: bytes) -> None:
        """Keep a picture on which champion and shadow disagree, where the rule wants such ones."""
        if self._rule().disagree:
            self._kept.keep(owner, self._model, digest, image)

    def _whose(self, entry: Entry) -> tuple[Owner, Digest] | None:
        """Return owner and digest of an entry's picture from its cache key; None for a key of another form."""
        prefix = keys.cache_prefix()
        digest = entry.cache[-_DIGEST_LENGTH:]
        # An owner's name has no colon, a model's may have.
        owner = entry.cache[len(prefix) :].partition(":")[0]
        named = entry.cache == keys.cache(Owner(owner), self._model, version=entry.version, digest=Digest(digest))
        return (Owner(owner), Digest(digest)) if named else None


def start_keeping(client: redis.Redis, registry: CollectorRegistry) -> KeptPictures | None:
    """Return what keeps pictures by the settings, None where no store is set; raises SettingsError for unusable ones.

    The store's address is left in Redis for `darkroom purge`, which may be run where it is not set.
    """
    settings = read(KeepImages)
    if not settings.url:
        return None
    try:
        usual = parse_keep_rule(settings.which)
    except ValueError as error:
        raise SettingsError(f"DARKROOM_KEEP_IMAGES_WHICH: {error}") from None
    store = open_store(settings)
    try:
        store.make()
    except StoreError as error:
        raise SettingsError(f"DARKROOM_KEEP_IMAGES_URL: {error}") from None
    note_store(client, settings, address=store_address(settings.url))
    return KeptPictures(store, client, PictureMetrics(registry), most_bytes=settings.waiting_bytes, usual=usual)


def _confidence(output: bytes) -> float | None:
    try:
        return confidence_of(orjson.loads(output))
    except orjson.JSONDecodeError:
        return None
