"""Images of failures: bounded in all, and no owner's failures push out the images of one that holds less."""

import hashlib
from datetime import timedelta

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.domain.identifiers import Digest, ModelName, Owner, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.model_route import Choice
from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.lua import Script, source
from shared.queue.producer.submission import Submission, prepared, submit_command
from shared.queue.upkeep.owned import Owned
from shared.settings import Queue

MODEL = ModelName("digits")
MOST = 120
"""Bytes that all images of failures may have here."""
# An owner's name may have a colon: it is cut out of a key.
OWNERS = ("default", "one:two", "z")
FLOOD = [("z", number, 20) for number in range(100, 140)]

Failure = tuple[str, int, int]
"""An image that fails: its owner, its number and its bytes."""


class Failures:
    """A queue where every image fails."""

    def __init__(self, client: redis.Redis) -> None:
        client.flushdb()
        client.script_load(source(Script.SUBMIT))
        self.client = client
        self.settings = Queue(max_failed_bytes=MOST)
        self.lanes = Lanes(client, model=MODEL, consumer="w", settings=self.settings)

    def fail(self, failure: Failure) -> str:
        """Submit the image and let it fail; return the key under which it is kept, if it is."""
        owner, number, size = failure
        image = (b"%d " % number).ljust(size, b".")
        digest = Digest(hashlib.sha256(image).hexdigest())
        submission = Submission(
            id=PredictionId(new_uuid7()),
            owner=Owner(owner),
            choice=Choice(model=MODEL, version=VersionNumber("1"), key=VersionKey("1-m-1"), variant="champion"),
            image=image,
            facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=size, filename=None),
            metadata={},
            base_url="",
        )
        command = submit_command(prepared(submission), settings=self.settings, memory_is_high=False)
        self.client.execute_command(*command)
        entries = self.lanes.begin(self.lanes.pull(1).entries)
        self.lanes.finish([Result(entry, "failed", b"", "it broke", "model_error") for entry in entries], run=b"{}")
        return keys.failed_image(Owner(owner), digest)

    def kept(self) -> dict[str, int]:
        """Return the bytes of each kept image by its key, having compared them with every count of them."""
        prefix = keys.failed_image_prefix()
        found = {name.decode(): self.client.strlen(name) for name in self.client.keys(f"{prefix}*")}
        members = {f"{size} {key}" for key, size in found.items()}
        assert {member.decode() for member in self.client.zrange(keys.FAILED_IMAGES, 0, -1)} == members
        assert int(self.client.get(keys.FAILED_BYTES) or 0) == sum(found.values())
        for owner in OWNERS:
            mine = [member.decode() for member in self.client.zrange(keys.failed_images_of(Owner(owner)), 0, -1)]
            assert set(mine) == {one for one in members if one.split(" ", 1)[1].startswith(f"{prefix}{owner}:")}
            held = self.client.zscore(keys.FAILED_BYTES_BY_OWNER, owner)
            assert held == (sum(int(one.split(" ", 1)[0]) for one in mine) or None)
        return found

    def held_by(self, owner: str) -> int:
        return sum(size for key, size in self.kept().items() if key.startswith(f"{keys.failed_image_prefix()}{owner}:"))


@pytest.fixture
def failures(redis_client: redis.Redis) -> Failures:
    return Failures(redis_client)


@given(
    history=st.lists(st.tuples(st.sampled_from(OWNERS), st.integers(0, 30), st.integers(5, MOST + 5)), max_size=40),
)
@example(history=[("default", 1, 40), *FLOOD])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_who_holds_more_than_an_equal_share_loses_images_its_oldest_and_only_for_want_of_room(
    redis_client: redis.Redis, history: list[Failure]
) -> None:
    failures = Failures(redis_client)
    before: dict[str, int] = {}
    """Bytes by key, in the order of their last failures."""
    for failure in history:
        new, size = failures.fail(failure), failure[2]
        now = failures.kept()
        arrived = {key: known for key, known in before.items() if key != new} | ({new: size} if size <= MOST else {})
        lost = [key for key in arrived if key not in now]
        losers = {owner_of(key) for key in lost}
        assert sum(now.values()) <= MOST
        assert now.keys() <= arrived.keys()
        share = MOST / max(1, len({owner_of(key) for key in arrived}))
        for owner in losers:
            mine = [key for key in arrived if owner_of(key) == owner]
            assert sum(arrived[key] for key in mine) > share
            assert mine[: len(set(mine) - now.keys())] == [key for key in lost if owner_of(key) == owner]
        newest_lost = [next(key for key in reversed(lost) if owner_of(key) == owner) for owner in losers]
        assert not lost or any(sum(now.values()) + arrived[key] > MOST for key in newest_lost)
        before = {key: arrived[key] for key in arrived if key in now}


def owner_of(key: str) -> str:
    return key.removeprefix(keys.failed_image_prefix()).rpartition(":")[0]


def test_a_flood_of_failures_takes_no_image_of_an_owner_within_its_share(failures: Failures) -> None:
    small = [failures.fail(("default", number, 20)) for number in range(2)]
    other = [failures.fail(("one:two", number, 20)) for number in range(2)]
    for failure in FLOOD:
        failures.fail(failure)
    assert {*small, *other} <= failures.kept().keys()
    assert failures.held_by("z") == MOST - 80
    grown = [failures.fail(("default", number, 20)) for number in range(10, 14)]
    assert {*other, *grown[-1:]} <= failures.kept().keys()
    assert [failures.held_by(owner) for owner in OWNERS] == [40, 40, 40]


def test_of_one_owner_the_oldest_go_first(failures: Failures) -> None:
    names = [failures.fail(("default", number, 20)) for number in range(9)]
    assert failures.kept().keys() == set(names[-6:])


@pytest.mark.parametrize(
    "left", [keys.failed_images_of(Owner("default")), keys.FAILED_BYTES_BY_OWNER, keys.FAILED_BYTES]
)
def test_counts_that_somebody_deleted_stop_no_failure_from_ending(failures: Failures, left: str) -> None:
    for number in range(6):
        failures.fail(("default", number, 20))
    failures.client.delete(left)
    for number in range(9):
        failures.fail(("one:two", number, 20))
    assert failures.client.zcard(keys.FAILED_IMAGES) <= 12


def test_a_purge_deletes_one_owners_and_counts_them_off(failures: Failures) -> None:
    for owner in OWNERS[:2]:
        for number in range(3):
            failures.fail((owner, number, 20))
    assert sum(Owned(failures.client, Owner("one:two")).delete_all()) >= 3
    assert [failures.held_by(owner) for owner in OWNERS] == [60, 0, 0]


def test_expired_images_are_counted_off_for_every_owner(failures: Failures) -> None:
    for number in range(4):
        failures.fail(("z", number, 20))
    failures.settings = Queue(max_failed_bytes=MOST, failed_ttl=timedelta(milliseconds=1))
    failures.lanes = Lanes(failures.client, model=MODEL, consumer="w", settings=failures.settings)
    failures.fail(("default", 1, 20))  # which expires while it is looked at
    assert not failures.client.zrange(keys.failed_images_of(Owner("z")), 0, -1)
    assert failures.client.zscore(keys.FAILED_BYTES_BY_OWNER, "z") is None
