"""A Redis that answers with errors (replica, no quorum, out of memory): callers get the reason, every process waits."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.support.breakable_stack import Breakable, picture
from tests.support.waiting import until

ROLES = ("api", "predict", "record", "webhooks", "beat")


@contextlib.contextmanager
def as_replica(breakable: Breakable) -> Iterator[None]:
    breakable.redis.replicaof("127.0.0.1", "1")
    yield
    breakable.redis.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def without_replicas(breakable: Breakable) -> Iterator[None]:
    breakable.redis.config_set("min-replicas-to-write", 1)
    yield
    breakable.redis.config_set("min-replicas-to-write", 0)


def submit(breakable: Breakable, number: int) -> tuple[int, dict[str, str], str]:
    headers = {"Content-Type": "image/png", "Prefer": "wait=60"}
    answer = breakable.http.post("/v1/predictions", content=picture(number), headers=headers)
    return answer.status_code, answer.json(), answer.headers.get("retry-after", "")


@pytest.mark.parametrize(
    ("refuse", "code", "first"), [(as_replica, "READONLY", 70_000), (without_replicas, "NOREPLICAS", 71_000)]
)
def test_callers_get_the_refusals_reason_and_processes_wait_it_out(
    breakable: Breakable,
    refuse: Callable[[Breakable], contextlib.AbstractContextManager[None]],
    code: str,
    first: int,
) -> None:
    assert submit(breakable, first)[0] == 200
    before = {role: breakable.pids(role) for role in ROLES}
    with refuse(breakable):
        for number in (first + 1, first + 2):
            status, problem, retry_after = submit(breakable, number)
            assert (status, problem["type"]) == (503, "/problems/storage-unavailable")
            assert f"({code})" in problem["detail"]
            assert retry_after
        ready = breakable.http.get("/health/ready")
        assert ready.status_code == 503
        assert any(f"({code})" in said for said in ready.json()["down"])
        assert breakable.http.get("/health/live").status_code == 200
    until(lambda: submit(breakable, first + 3)[1].get("status") == "succeeded", what="it serves again")
    status, job, _ = submit(breakable, first + 4)
    assert (status, job["status"]) == (200, "succeeded")
    # Nobody ended and was started again.
    assert {role: breakable.pids(role) for role in ROLES} == before
    until(lambda: breakable.rows([job["id"]]), what="its row is there")
