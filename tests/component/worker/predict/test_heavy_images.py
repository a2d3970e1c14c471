"""Heavy images, which take long to decode, are predicted beside the others, which do not wait for them."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis

from shared.domain.identifiers import ANYONE
from shared.queue import keys
from tests.simulation.pictures import picture
from tests.support import waiting
from tests.support.heavy_images import large_picture
from tests.support.leases import end_leases
from tests.support.predictors import MODEL, Make, Submit, Watched, job, said
from tests.support.waiting import LIMIT
from worker.decode.decoder_pool import DecoderPool
from worker.predict.predictor import Predictor
from worker.predict.slots import BatchSlots

pytestmark = pytest.mark.slow  # large images, decoded in processes

HEAVY_LANE = keys.heavy_lane(ANYONE)


class Held(DecoderPool):
    """Decodes only when the test lets it, as if every image took that long."""

    def __init__(self, count: int) -> None:
        super().__init__(count, longest=timedelta(seconds=60), max_pixels=10_000_000)
        self.go_on = threading.Event()
        self.decoding = 0

    def decode(self, data: bytes, spec: Any) -> Any:
        self.decoding += 1
        self.go_on.wait(120)
        return super().decode(data, spec)


@pytest.fixture
def decoders() -> Iterator[Held]:
    held = Held(2)
    yield held
    held.go_on.set()
    held.stop()


# Heavy images are decoded at a lower priority: beside stacks that start, 30 s were not enough once.
until = partial(waiting.until, seconds=120, pause=0.002)


def ended(client: redis.Redis, ids: Sequence[str]) -> bool:
    return all(job(client, id, "state") in {("succeeded",), ("failed",)} for id in ids)


def all_bells(one: Predictor) -> None:
    """Poll as long as there are images."""
    while one.poll()["images"]:
        pass


def test_others_in_the_batch_do_not_wait_for_a_heavy_image(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    heavy = submit(0, data=large_picture(77), lane=HEAVY_LANE)
    light = [submit(number) for number in range(10, 20)]
    one = predictor(Watched())
    all_bells(one)
    assert [job(redis_client, id) for id in light] == [said(number) for number in range(10, 20)]
    # A thread of its own begins it.
    until(lambda: job(redis_client, heavy, "state") == ("processing",))
    decoders.go_on.set()
    until(lambda: ended(redis_client, [heavy]))
    assert job(redis_client, heavy) == said(77)


def test_many_heavy_images_leave_the_worker_free(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    flood = [submit(0, data=large_picture(number), lane=HEAVY_LANE) for number in range(30, 40)]
    one = predictor(Watched())
    all_bells(one)
    until(lambda: decoders.decoding == 2)
    assert one.heavy.in_hand() == 2, "no more are in hand than are decoded at once"
    other = submit(10)
    all_bells(one)
    assert job(redis_client, other) == said(10)
    batch = [submit(number, lane=keys.bulk_lane("b")) for number in range(50, 60)]
    all_bells(one)
    assert [job(redis_client, id) for id in batch] == [said(number) for number in range(50, 60)]
    decoders.go_on.set()
    # Each heavy image that ends rings a bell; no worker consumes it here, so poll instead.
    until(lambda: one.poll() and ended(redis_client, flood))
    assert [job(redis_client, id) for id in flood] == [said(number) for number in range(30, 40)]


def test_a_bell_rings_when_there_is_room_for_heavy_images_again(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    for number in range(30, 33):
        submit(0, data=large_picture(number), lane=HEAVY_LANE)
    one = predictor(Watched())
    all_bells(one)
    redis_client.delete(keys.bell(MODEL))
    decoders.go_on.set()
    until(lambda: redis_client.exists(keys.bell(MODEL)))


def test_only_as_many_photos_are_taken_as_there_is_room_for(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    lane = keys.bulk_lane("photos")
    photos = [submit(0, data=large_picture(number), lane=lane) for number in range(30, 42)]
    one = predictor(Watched(), max_batch_size=4)
    all_bells(one)
    assert one.heavy.in_hand() == 4, "the first batch, of a lane of which nothing was known"
    decoders.go_on.set()
    until(lambda: one.poll() and one.heavy.in_hand() <= 2 and ended(redis_client, photos))
    assert [job(redis_client, id) for id in photos] == [said(number) for number in range(30, 42)]


def test_a_heavy_image_that_cannot_be_decoded_fails_with_a_reason(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    decoders.go_on.set()
    broken, good = (submit(0, data=data, lane=HEAVY_LANE) for data in (large_picture(10)[:-200], large_picture(12)))
    one = predictor(Watched())
    all_bells(one)
    until(lambda: one.poll() and ended(redis_client, [broken, good]))
    assert job(redis_client, broken, "state", "code") == ("failed", "undecodable_image")
    assert job(redis_client, good) == said(12)


def test_a_heavy_image_of_a_version_that_does_not_load_fails(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    decoders.go_on.set()
    id = submit(0, data=large_picture(12), lane=HEAVY_LANE, version="9-gone")
    all_bells(predictor(Watched()))
    until(lambda: ended(redis_client, [id]))
    assert job(redis_client, id, "code") == ("model_unavailable",)


def test_a_heavy_suspect_is_decoded_within_its_task(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    id = submit(0, data=large_picture(12), lane=HEAVY_LANE)
    # Another worker took it and is gone.
    lane = keys.lane(MODEL, HEAVY_LANE)
    redis_client.xreadgroup(keys.WORKERS, "gone", {lane: ">"}, count=1)
    end_leases(redis_client)
    decoders.go_on.set()
    predictor(Watched()).poll()
    assert job(redis_client, id) == said(12)
    assert job(redis_client, id, "attempts") == ("2",)


def test_heavy_images_in_hand_have_their_leases_renewed_until_they_end(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    id = submit(0, data=large_picture(12), lane=HEAVY_LANE)
    one = predictor(Watched())
    all_bells(one)
    (entry,) = one.heavy.entries()
    assert entry.image == large_picture(12)
    decoders.go_on.set()
    until(lambda: ended(redis_client, [id]))
    until(lambda: not one.heavy.entries())


def test_stopping_finishes_the_heavy_images_in_hand(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    ids = [submit(0, data=large_picture(number), lane=HEAVY_LANE) for number in (12, 13)]
    one = predictor(Watched())
    all_bells(one)
    decoders.go_on.set()
    one.heavy.stop()
    assert [job(redis_client, id) for id in ids] == [said(12), said(13)]


def test_a_model_that_is_served_again_computes_heavy_images_again(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    """A worker leaves a model while only others can load its champion, and serves it again once it can."""
    one = predictor(Watched())
    decoders.go_on.set()
    for number in (12, 13):
        id = submit(0, data=large_picture(number), lane=HEAVY_LANE)
        all_bells(one)
        until(lambda: ended(redis_client, [id]))  # noqa: B023  it is called before the next round
        assert job(redis_client, id) == said(number)
        one.stop()
    assert (one.heavy.in_hand(), one.heavy.entries()) == (0, [])


def test_a_canceled_heavy_image_is_not_predicted(
    submit: Submit, predictor: Make, redis_client: redis.Redis, decoders: Held
) -> None:
    id = submit(0, data=large_picture(12), lane=HEAVY_LANE)
    model = Watched()
    one = predictor(model)
    all_bells(one)
    redis_client.hset(f"job:{id}", "state", "canceled")
    decoders.go_on.set()
    until(lambda: not one.heavy.entries())
    assert job(redis_client, id, "state") == ("canceled",)


def test_a_suspect_waits_until_no_heavy_image_is_being_decoded() -> None:
    slots, inside = BatchSlots(1), threading.Event()

    def alone() -> None:
        with slots.alone():
            inside.set()

    with slots.beside():
        thread = threading.Thread(target=alone, daemon=True)
        thread.start()
        assert not inside.wait(0.05)
    thread.join(timeout=LIMIT)
    assert inside.is_set()


def test_small_images_are_decoded_in_this_process(submit: Submit, predictor: Make, decoders: Held) -> None:
    for number in range(10, 20):
        submit(number, data=picture(number))
    assert predictor(Watched()).poll()["images"] == 10
    assert decoders.decoding == 0
