"""A shadow predicts a share of the champion's images after they are answered, while nobody waits, each once.

Over 300 lines: all tests begin with images that the champion has answered.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.domain.identifiers import Digest, Owner, VersionKey, VersionNumber
from shared.domain.model_route import ShadowTarget
from shared.queue import keys
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.shadow_lane import ShadowAnswer, ShadowLane
from shared.queue.inspection.audit import Inspection
from shared.queue.upkeep.shadow_images import ShadowImages
from shared.settings import Batching, Queue
from tests.simulation import pictures
from tests.support.leases import LEASE, end_leases
from tests.support.observations import shadow_metrics
from tests.support.predictors import MODEL, VERSION, Make, Pictures, Submit, Versions, job, said
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.predict.leases import LeasedEntries
from worker.predict.limits import Limits
from worker.predict.shadow_intake import ShadowIntake
from worker.predict.shadow_rounds import ShadowRounds
from worker.predict.shadowing import Shadowing
from worker.predict.slots import BatchSlots

SHADOW = "4-b"
LANE = keys.shadow_lane(MODEL)
LARGE = 20_000


def target(percent: int = 100) -> ShadowTarget:
    return ShadowTarget(
        champion=VersionKey(VERSION), version=VersionNumber("4"), key=VersionKey(SHADOW), percent=percent
    )


def intake(
    *, percent: int = 100, registry: CollectorRegistry | None = None, off: bool = False, **settings: Any
) -> ShadowIntake:
    shadow = None if off else target(percent)
    return ShadowIntake(lambda: shadow, settings=Queue(lease=LEASE, **settings), metrics=shadow_metrics(registry))


class Unloaded(Versions):
    """Versions of which none is loaded."""

    def has_to_load(self, _: VersionKey) -> bool:
        return True


@pytest.fixture
def shadowing(redis_client: redis.Redis, decoders: DecoderPool) -> Callable[..., Shadowing]:
    """Make a worker's shadow; keywords are its arguments."""

    def make(
        *, worker: str = "s", models: Versions | None = None, slots: BatchSlots | None = None, **changes: Any
    ) -> Shadowing:
        return Shadowing(
            ShadowLane(redis_client, model=MODEL, consumer=worker, settings=Queue(lease=LEASE)),
            model=MODEL, models=models or Versions(Pictures(SHADOW)),
            limits=Limits(Batching(), max_pixels=10_000_000, turn=timedelta(0)), slots=slots or BatchSlots(1),
            leased=LeasedEntries(), decoders=decoders, threads=DecodeThreads(1),
            **{"metrics": shadow_metrics(), "intake": intake(), **changes},
        )  # fmt: skip

    return make


def results(client: redis.Redis) -> list[dict[str, str]]:
    found = client.xrange(keys.SHADOW_RESULTS)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


def padded(number: int) -> bytes:
    """Return a picture that is kept beside its entry: a PNG's reader ignores what follows its end."""
    return pictures.picture(number) + bytes(LARGE)


def entries(client: redis.Redis) -> int:
    return int(client.xlen(LANE))


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"darkroom_shadow_{name}_total", {"model": "m"} | labels) or 0


@pytest.mark.parametrize("data", [pictures.picture(7), padded(7)], ids=["in its entry", "beside its entry"])
def test_an_answered_image_moves_to_the_shadows_lane_and_its_answer_to_the_recorder(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing], data: bytes
) -> None:
    id = submit(7, data=data)
    predictor(Pictures(), shadow=intake()).poll()
    assert job(redis_client, id) == said(7)
    assert (entries(redis_client), results(redis_client)) == (1, [])
    assert Inspection(redis_client).images_without_entry() == []
    told: list[tuple[Owner, Digest, bytes]] = []
    shadow = shadowing(on_disagreement=lambda *one: told.append(one))
    assert shadow.run_pass([MODEL])
    assert not shadow.run_pass([MODEL])
    [one] = results(redis_client)
    wanted = {
        "prediction": id, "model": MODEL, "version": "4", "key": SHADOW, "state": "succeeded", "agrees": "false",
        "output": pictures.output(SHADOW, 7).decode(), "code": "", "error": "",
    }  # fmt: skip
    assert wanted.items() <= one.items()
    assert [image for _, _, image in told] == [data]
    assert job(redis_client, id) == said(7)
    assert (entries(redis_client), redis_client.hgetall(keys.IMAGE_BYTES)) == (0, {})
    assert list(redis_client.scan_iter("image:*")) == []


def test_without_a_shadow_nothing_is_kept_and_nothing_is_checked(
    redis_client: redis.Redis, submit: Submit, predictor: Make
) -> None:
    submit(7)
    predictor(Pictures(), shadow=intake(off=True)).poll()
    submit(8)
    predictor(Pictures()).poll()
    submit(9)
    predictor(Pictures(), shadow=intake(percent=0)).poll()
    assert entries(redis_client) == 0


def test_the_share_is_of_images_and_the_same_image_is_always_in_it_or_not(
    redis_client: redis.Redis, submit: Submit, predictor: Make
) -> None:
    for _ in range(2):
        for number in range(100, 300):
            submit(number)
        worker = predictor(Pictures(), shadow=intake(percent=30), turn=timedelta(seconds=60))
        while worker.poll()["images"]:
            pass
        kept = entries(redis_client)
        assert 0.15 * 200 < kept < 0.45 * 200
        redis_client.delete(*redis_client.keys("cache:*"), LANE)
        redis_client.set("kept", kept, nx=True)
    assert int(redis_client.get("kept")) == kept  # type: ignore[arg-type]


def test_only_what_the_champion_computed_is_shadowed(
    redis_client: redis.Redis, submit: Submit, predictor: Make
) -> None:
    numbered, challenger, failing = submit(10, variant="3"), submit(11, version="5-c"), submit(pictures.RAISES)
    first, second = submit(12), submit(12)
    predictor(Pictures(), Pictures("5-c"), shadow=intake()).poll()
    cached = submit(12)
    assert job(redis_client, cached) == job(redis_client, second) == said(12)
    assert [job(redis_client, id)[0] for id in (numbered, challenger, failing)] == ["succeeded", "succeeded", "failed"]
    [(_, kept)] = redis_client.xrange(LANE)
    assert kept[b"prediction"].decode() == first


def test_a_full_lane_costs_the_shadow_alone(redis_client: redis.Redis, submit: Submit, predictor: Make) -> None:
    for settings, room in (({"max_shadow_depth": 2}, 2), ({"max_shadow_bytes": 1}, 1)):
        registry = CollectorRegistry()
        ids = {number: submit(number) for number in range(20 * room, 20 * room + 5)}
        predictor(Pictures(), shadow=intake(registry=registry, **settings)).poll()
        assert [job(redis_client, id) for id in ids.values()] == [said(number) for number in ids]
        assert entries(redis_client) == room
        assert counted(registry, "queued", version="4") == room
        assert counted(registry, "skipped", reason="lane_full") == 5 - room
        redis_client.delete(LANE)


def test_nothing_is_kept_while_redis_is_nearly_full(redis_client: redis.Redis, submit: Submit, predictor: Make) -> None:
    registry = CollectorRegistry()
    shadow = intake(registry=registry)
    shadow.note_memory(used=71, limit=100)
    submit(7)
    predictor(Pictures(), shadow=shadow).poll()
    assert (entries(redis_client), counted(registry, "skipped", reason="memory_high")) == (0, 1)
    shadow.note_memory(used=71, limit=0)
    submit(8)
    predictor(Pictures(), shadow=shadow).poll()
    assert entries(redis_client) == 1


@pytest.mark.parametrize("lane", [keys.INTERACTIVE, "bulk:b1"])
def test_a_shadow_waits_while_an_image_waits_or_is_computed(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing], lane: str
) -> None:
    submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    shadow = shadowing()
    redis_client.hset("batch:b1", mapping={"state": "validating", "owner": "x", "request": "{}"})
    waiting = submit(8, lane=lane)
    assert not shadow.run_pass([MODEL])
    other = Lanes(redis_client, model=MODEL, consumer="other", settings=Queue())
    other.pull(8)
    assert not shadow.run_pass([MODEL])
    end_leases(redis_client)
    predictor(Pictures()).poll()
    assert job(redis_client, waiting) == said(8)
    assert shadow.run_pass([MODEL])


def test_a_shadow_that_is_turned_off_predicts_what_was_kept_for_it(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    submit(7)
    submit(8)
    predictor(Pictures(), shadow=intake(), max_batch_size=64).poll()
    share = [target(), None]
    shadow = shadowing(intake=ShadowIntake(lambda: share[-1], settings=Queue(lease=LEASE), metrics=shadow_metrics()))
    rounds = ShadowRounds(redis_client)
    rounds.run({MODEL: shadow}, stopped=lambda: False)
    assert entries(redis_client) == 2  # no shadow of this worker's: another may be computing them
    share.pop()
    rounds.run({MODEL: shadow}, stopped=lambda: True)
    share.append(None)
    rounds.run({MODEL: shadow}, stopped=lambda: False)
    assert (entries(redis_client), len(results(redis_client))) == (0, 2)
    before = redis_client.info("stats")["total_commands_processed"]
    rounds.run({MODEL: shadow}, stopped=lambda: False)
    assert redis_client.info("stats")["total_commands_processed"] == before + 1  # this INFO alone


def test_half_of_the_workers_stay_free_of_shadows(redis_client: redis.Redis, submit: Submit, predictor: Make) -> None:
    for number in range(20, 25):
        submit(number)
    predictor(Pictures(), shadow=intake()).poll()
    for worker in "abcd":
        Lanes(redis_client, model=MODEL, consumer=worker, settings=Queue()).sign_of_life()
    patient = Queue(lease=timedelta(hours=1))
    lanes = [ShadowLane(redis_client, model=MODEL, consumer=worker, settings=patient) for worker in "abcd"]
    assert [len(lane.take(1, served=[MODEL])) for lane in lanes] == [1, 1, 0, 0]


def test_a_worker_that_computes_runs_no_shadow(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    slots = BatchSlots(1)
    with slots.shared():
        assert not shadowing(slots=slots).run_pass([MODEL])
    assert entries(redis_client) == 1


def test_an_image_whose_workers_die_over_it_is_tried_twice_and_then_fails(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    id = submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    settings = Queue(lease=LEASE)
    for attempt in (1, 2):
        [one] = ShadowLane(redis_client, model=MODEL, consumer=f"dies-{attempt}", settings=settings).take(8, served=[])
        assert one.entry.attempts == attempt
        end_leases(redis_client)
    assert not shadowing().run_pass([MODEL])
    [one_result] = results(redis_client)
    assert (one_result["prediction"], one_result["state"], one_result["code"]) == (id, "failed", "worker_lost")
    assert entries(redis_client) == 0
    assert job(redis_client, id) == said(7)


def test_a_suspect_runs_alone(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    for number in (7, 8):
        submit(number)
    predictor(Pictures(), shadow=intake()).poll()
    ShadowLane(redis_client, model=MODEL, consumer="dies", settings=Queue(lease=LEASE)).take(8, served=[])
    end_leases(redis_client)
    shadow = shadowing()
    assert shadow.run_pass([MODEL])
    assert len(results(redis_client)) == 1
    assert shadow.run_pass([MODEL])
    assert [one["output"] for one in results(redis_client)] == [pictures.output(SHADOW, n).decode() for n in (7, 8)]


def test_a_late_answer_after_another_worker_took_the_image_over_is_not_written_again(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    lane = ShadowLane(redis_client, model=MODEL, consumer="slow", settings=Queue(lease=LEASE))
    late = lane.take(8, served=[])
    end_leases(redis_client)
    assert shadowing().run_pass([MODEL])
    assert lane.finish([ShadowAnswer(shadowed=one, state="succeeded", output=b"1") for one in late]) == (0, 0)
    assert len(results(redis_client)) == 1


def test_a_version_that_is_not_loaded_is_not_loaded_for_a_shadow(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    registry = CollectorRegistry()
    assert shadowing(models=Unloaded(), metrics=shadow_metrics(registry)).run_pass([MODEL])
    assert (entries(redis_client), results(redis_client)) == (0, [])
    assert counted(registry, "skipped", reason="not_loaded") == 1


class Raising(Pictures):
    """A version that can take no picture."""

    def predict(self, _: Any) -> list[bytes]:
        raise ValueError("no such layer")


def test_a_shadow_that_fails_is_recorded_as_failed(
    redis_client: redis.Redis, submit: Submit, predictor: Make, shadowing: Callable[..., Shadowing]
) -> None:
    id = submit(7)
    predictor(Pictures(), shadow=intake()).poll()
    shadowing(models=Versions(Raising(SHADOW))).run_pass([MODEL])
    [one] = results(redis_client)
    assert (one["state"], one["code"], one["agrees"], one["output"]) == ("failed", "model_error", "", "")
    assert "no such layer" in one["error"]
    assert job(redis_client, id) == said(7)


def test_images_of_a_purged_owner_and_old_ones_leave_the_lane(
    redis_client: redis.Redis, submit: Submit, predictor: Make
) -> None:
    for number in range(20, 25):
        submit(number, data=padded(number))
    predictor(Pictures(), shadow=intake(), max_batch_size=64).poll()
    images = ShadowImages(redis_client, MODEL)
    owner = Owner(redis_client.xrange(LANE)[0][1][b"owner"].decode())
    assert images.drop_older(1) == 0
    assert sum(images.drop_of_owner(Owner("nobody"))) == 0
    assert entries(redis_client) == 5
    assert sum(images.drop_of_owner(owner)) == 5
    assert list(redis_client.scan_iter("image:*")) == []
    submit(30)
    predictor(Pictures(), shadow=intake()).poll()
    assert images.drop_older(time.time_ns() // 1000 + 1_000_000) == 1
    assert entries(redis_client) == 0
