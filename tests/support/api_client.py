"""A client of a stack's gateway, with access to its Redis and its workers' processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
import redis

from shared.domain.identifiers import ANYONE, ModelName, Owner
from shared.queue import keys
from tests.support.processes import suspended
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

MODEL = ModelName("digits")
ENDED = ("succeeded", "failed", "canceled")
Json = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """What submissions leave in Redis; a refused one changes none of it."""

    jobs: frozenset[bytes]
    lane_depth: int
    inflight: int
    idempotency_keys: int


class Door:
    """A client of the gateway, past any proxy."""

    def __init__(self, stack: "Stack") -> None:
        self.url = stack.url
        self.http = httpx.Client(base_url=stack.url, timeout=LIMIT, trust_env=False)
        self.registry_url = stack.url_of("mlflow")
        self.redis = redis.Redis.from_url(stack.url_of("redis"), protocol=2)
        self.predict_pids = stack.pids("predict")
        self.record_pids = stack.pids("record")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self.redis.close()

    def post(self, path: str = "/v1/predictions", **request: Any) -> httpx.Response:
        """Send a submission in any form."""
        return self.http.post(path, **request)

    def submit(
        self, image: bytes, *, media_type: str = "image/png", headers: dict[str, str] | None = None, **query: str
    ) -> httpx.Response:
        """Send an image as the body itself."""
        headers = {"Content-Type": media_type} | (headers or {})
        return self.post(content=image, params=query, headers=headers)

    def accepted(self, image: bytes, *, headers: dict[str, str] | None = None, **query: str) -> str:
        """Send an image, which has to wait, and return its id."""
        return str(body(self.submit(image, headers=headers, **query), status=202)["id"])

    def predicted(self, image: bytes, *, media_type: str = "image/png", **query: str) -> Json:
        """Send an image and return its prediction once that has succeeded."""
        found = body(self.submit(image, media_type=media_type, headers={"Prefer": "wait=60"}, **query))
        assert found["status"] == "succeeded", found
        return found

    def get(self, path: str, **request: Any) -> Json:
        """Return what is read there: a refusal fails the test with its reason."""
        return body(self.http.get(path, **request))

    def prediction(self, id: str) -> Json:
        """Return a prediction as it is now."""
        return self.get(f"/v1/predictions/{id}")

    def ended(self, id: str) -> Json:
        """Return a prediction once it has ended."""
        found = self.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=60"})
        assert found["status"] in ENDED, found
        return found

    def cancel(self, id: str) -> Json:
        """Cancel a prediction and return what it is then."""
        return body(self.http.post(f"/v1/predictions/{id}/cancel"))

    def kept(self) -> Kept:
        """Return what submissions have left in Redis so far."""
        return Kept(
            jobs=frozenset(self.redis.scan_iter(match=f"{keys.job_prefix()}*", count=10_000)),
            lane_depth=self.lane_depth(),
            inflight=self.redis.zcard(keys.inflight(ANYONE)),
            idempotency_keys=self.redis.zcard(keys.IDEMPOTENCY_KEYS),
        )

    def lane_depth(self) -> int:
        """Return how many computations wait or run."""
        return int(self.redis.xlen(keys.lane(MODEL, keys.INTERACTIVE)))

    def wait_until_quiet(self, *, owner: Owner = ANYONE) -> None:
        """Return when nothing of an owner's is unfinished."""
        until(lambda: not (self.redis.zcard(keys.inflight(owner)) or self.lane_depth()), what="everything has ended")

    def forget_in_redis(self, id: str) -> None:
        """Drop a prediction from Redis as an eviction would: only once its row is committed may it be."""
        until(lambda: self.redis.ttl(keys.job_prefix() + id) >= 0, what="its row is committed")
        self.redis.delete(keys.job_prefix() + id)

    @contextmanager
    def workers_stopped(self) -> Iterator[None]:
        """Pause the predict workers (SIGSTOP) while they have no work: what is submitted meanwhile waits."""
        with self._held_still(self.predict_pids):
            yield

    @contextmanager
    def sweeps_stopped(self) -> Iterator[None]:
        """Pause the record worker (SIGSTOP), which sweeps, while it has no work; for less than its lease of 10 s."""
        with self._held_still(self.record_pids):
            yield

    @contextmanager
    def _held_still(self, pids: list[int]) -> Iterator[None]:
        self.wait_until_quiet()
        with suspended(pids):
            yield


def body(answer: httpx.Response, *, status: int = 200) -> Json:
    """Return an answer's JSON; another status fails the test with what the answer says."""
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def expect_problem(answer: httpx.Response, status: int, slug: str) -> Json:
    """Check that an answer is this problem in the contract's form; return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    body: Json = answer.json()
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["instance"] == answer.request.url.path
    assert all(isinstance(body[member], str) and body[member] for member in ("title", "detail"))
    for wrong in body.get("errors", ()):
        assert isinstance(wrong["detail"], str)
        assert isinstance(wrong["pointer"], str)
    return body
