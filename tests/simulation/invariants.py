"""What must hold in Redis between any two commands, and once nothing is left to do."""

from shared.domain.identifiers import Owner, PredictionId
from shared.domain.prediction import Status
from shared.queue import keys
from tests.simulation import pictures
from tests.simulation.promises import Accepted, Violation
from tests.simulation.system import MODEL, OWNERS, System


class Invariants:
    """Reads one history's Redis; what is wrong raises Violation."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._redis, self._promises = system.plain, system.promises

    def check(self) -> None:
        """Check the design's invariants, as they must hold between any two commands."""
        finished = {fields[b"id"].decode() for _, fields in self._redis.xrange(keys.FINISHED)}
        entries = {lane: self._entries(lane) for lane in self._system.lanes()}
        for id, promise in self._promises.accepted.items():
            fields = self._redis.hgetall(keys.job(id))
            if not fields:
                if id not in self._promises.rows:
                    raise Violation(f"{id} vanished")
                continue
            state = Status(fields[b"state"].decode())
            if state.is_terminal:
                self._check_ended(id, promise, state, fields, finished)
            else:
                self._check_waits(id, fields, entries)

    def check_at_rest(self) -> None:
        """Check that nothing is left behind but what is to stay."""
        kept = {
            keys.workers(MODEL),
            keys.LEAVING,
            keys.FINISHED,
            keys.SHADOW_RESULTS,
            keys.shadow_lane(MODEL),
            keys.MODELS,
            keys.UPLOADS,
            keys.BELLS,
            keys.IDEMPOTENCY_KEYS,
            keys.FAILED_IMAGES,
            keys.FAILED_BYTES,
            keys.FAILED_BYTES_BY_OWNER,
            *(keys.failed_images_of(Owner(owner)) for owner in OWNERS),
            *map(str, self._system.lanes()),
        }
        self._check_failed_images()
        # -1: no TTL; -2 is one that has expired since.
        left = {key.decode() for key in self._redis.keys("*") if self._redis.ttl(key) == -1} - kept
        left = {key for key in left if not key.startswith(("idempotency:", "bulk:", "batch:"))}
        if left:
            raise Violation(f"left behind: {sorted(left)[:6]}")

    def _entries(self, lane: str) -> set[str]:
        """Return the entries that are new or pending; any other is stranded."""
        found = self._redis.xrange(lane)
        present = [entry.decode() for entry, _ in found]
        beside = [entry.decode() for entry, fields in found if b"image" not in fields]
        lost = [entry for entry in beside if self._redis.pttl(keys.image(lane, entry)) != -1]
        if lost:
            raise Violation(f"no image, or not for good, in {lane}: {lost}")
        pending = {p["message_id"].decode() for p in self._redis.xpending_range(lane, keys.WORKERS, "-", "+", 999)}
        delivered = _order(self._redis.xinfo_groups(lane)[0]["last-delivered-id"].decode())
        stranded = [e for e in present if _order(e) <= delivered and e not in pending]
        if stranded:
            raise Violation(f"stranded in {lane}: {stranded}")
        return set(present)

    def _check_ended(
        self,
        id: PredictionId,
        promise: Accepted,
        state: Status,
        fields: dict[bytes, bytes],
        finished: set[str],
    ) -> None:
        if id not in finished and id not in self._promises.rows:
            raise Violation(f"{id} ended and is recorded nowhere")
        if state is Status.SUCCEEDED and fields[b"output"] != pictures.output(promise.version, promise.picture):
            raise Violation(f"{id} {promise} got {fields[b'output']!r}")
        if id in self._promises.rows and self._promises.rows[id]["state"] != state:
            raise Violation(f"{id} is {state} in Redis and {self._promises.rows[id]['state']} in Postgres")

    def _check_waits(self, id: PredictionId, fields: dict[bytes, bytes], entries: dict[str, set[str]]) -> None:
        if b"waiting" not in fields:
            raise Violation(f"{id} came back to life: {fields}")
        head, *waiting = self._redis.lrange(fields[b"waiting"], 0, -1) or [b""]
        if head != fields[b"entry"] or id.encode() not in waiting:
            raise Violation(f"{id} waits for nothing: {fields}")
        if fields[b"entry"].decode() not in entries.get(fields[b"lane"].decode(), set()):
            raise Violation(f"{id} has no entry")

    def _check_failed_images(self) -> None:
        """Check that the images of failures are counted right, and bounded; each may have been evicted."""
        members = [member.decode().split(" ", 1) for member in self._redis.zrange(keys.FAILED_IMAGES, 0, -1)]
        counted = int(self._redis.get(keys.FAILED_BYTES) or 0)
        if counted != sum(int(size) for size, _ in members) or counted > self._system.queue.max_failed_bytes:
            raise Violation(f"images of failures have {members}, counted as {counted} bytes")
        by_owner = {
            owner: [member.decode() for member in self._redis.zrange(keys.failed_images_of(Owner(owner)), 0, -1)]
            for owner in OWNERS
        }
        mine = {owner: [f"{size} {key}" for size, key in members if f":{owner}:" in key] for owner in OWNERS}
        held = {owner: sum(int(one.split()[0]) for one in images) for owner, images in mine.items() if images}
        found = {
            one.decode(): held for one, held in self._redis.zrange(keys.FAILED_BYTES_BY_OWNER, 0, -1, withscores=True)
        }
        if any(sorted(by_owner[owner]) != sorted(mine[owner]) for owner in OWNERS) or found != held:
            raise Violation(f"images of failures have {members}, by owner {by_owner}, counted as {found}")
        unknown = {key.decode() for key in self._redis.keys(f"{keys.failed_image_prefix()}*")} - {
            key for _, key in members
        }
        if unknown:
            raise Violation(f"images of failures that nobody knows: {sorted(unknown)[:3]}")


def _order(entry: str) -> tuple[int, int]:
    milliseconds, serial = entry.split("-")
    return int(milliseconds), int(serial)
