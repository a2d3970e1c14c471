"""One micro-batch on a real Redis, with a model that reads each picture's number back."""

import hashlib
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis

from shared.domain.identifiers import ANYONE, Digest, ModelName, PredictionId, VersionKey, VersionNumber, new_uuid7
from shared.domain.image import ImageFacts
from shared.domain.route import Choice
from shared.queue import bells, keys
from shared.queue.lanes import Lanes
from shared.queue.lua import Script, Scripts, source
from shared.queue.submission import Submission, submit_command
from shared.settings import Batching, Queue
from tests.simulation.pictures import RAISES, UNREADABLE, PictureModel, output, picture
from worker.inference import RECLAIM_PAUSE, Limits, ModelUnavailable, OutOfMemory, Predictor
from worker.leases import InHand, Turns

MODEL = ModelName("m")
LANE = keys.lane(MODEL, keys.INTERACTIVE)
VERSION = "3-a"
LEASE = timedelta(milliseconds=30)


class Pictures(PictureModel):
    """One version."""

    def __init__(self, version: str = VERSION) -> None:
        super().__init__(version, pauses=0)


class Watched(Pictures):
    """A picture model with room for so many images that tells what it was given."""

    def __init__(self, version: str = VERSION, *, room: int = 1000) -> None:
        super().__init__(version)
        self.sizes: list[int] = []
        self._room = room

    def predict(self, images: Sequence[Any]) -> list[bytes]:
        self.sizes.append(len(images))
        if len(images) > self._room:
            raise OutOfMemory(f"{len(images)} images")
        return super().predict(images)


class Versions:
    """The versions that load."""

    def __init__(self, *models: Pictures) -> None:
        self._models = {model._version: model for model in models}

    def loaded(self, key: VersionKey) -> Pictures:
        if key not in self._models:
            raise ModelUnavailable(f"no version {key}\nand more")
        return self._models[key]


@pytest.fixture
def submit(redis_client: redis.Redis) -> Callable[..., str]:
    """Submit a picture: `submit(number, version="3-a", data=None)`; returns the id."""
    redis_client.script_load(source(Script.SUBMIT))

    def submit(number: int, *, version: str = VERSION, data: bytes | None = None) -> str:
        data = data or picture(number)
        digest = Digest(hashlib.sha256(data).hexdigest())
        submission = Submission(
            id=PredictionId(new_uuid7()),
            owner=ANYONE,
            choice=Choice(model=MODEL, version=VersionNumber("3"), key=VersionKey(version), variant="champion"),
            image=data,
            facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(data), filename=None),
            metadata={},
            base_url="",
        )
        request = orjson.dumps(submission.request())
        redis_client.execute_command(*submit_command(submission, request, settings=Queue(), memory_is_high=False))
        return submission.id

    return submit


@pytest.fixture
def predictor(redis_client: redis.Redis) -> Callable[..., Predictor]:
    """Make a worker's predictor of the versions given; keywords are settings of batching."""

    def make(
        *models: Pictures,
        worker: str = "w",
        in_hand: InHand | None = None,
        turns: Turns | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        **batching: Any,
    ) -> Predictor:
        lanes = Lanes(redis_client, model=MODEL, consumer=worker, settings=Queue(lease=LEASE, max_attempts=3))
        return Predictor(
            model=MODEL, worker=worker, lanes=lanes, models=Versions(*models), limits=Limits(Batching(**batching), 100),
            turns=turns or Turns(1), in_hand=in_hand or InHand(), monotonic=monotonic,
        )  # fmt: skip

    return make


Submit = Callable[..., str]
Make = Callable[..., Predictor]


def job(client: redis.Redis, id: str, *fields: str) -> tuple[str, ...]:
    values = client.hmget(f"job:{id}", *(fields or ("state", "output", "code")))
    return tuple((value or b"").decode() for value in values)


def said(number: int, version: str = VERSION) -> tuple[str, str, str]:
    """What becomes of a picture that can be predicted."""
    return ("succeeded", output(version, number).decode(), "")


def test_each_job_gets_its_own_pictures_output(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    numbers = random.Random(1).choices(range(10, 60), k=64)  # with duplicates
    jobs = [(submit(number), number) for number in numbers]
    model = Watched()
    report = predictor(model).run_one("")
    assert report["batch_size"] == model.sizes[0] == len(set(numbers))
    assert [job(redis_client, id) for id, _ in jobs] == [said(number) for number in numbers]
    assert redis_client.xlen(LANE) == 0


def test_a_batch_that_raises_is_halved_until_the_picture_is_alone(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    numbers = [10, 11, RAISES, 12, 13, 14, 15, 16]
    jobs = [submit(number) for number in numbers]
    model = Watched()
    assert predictor(model).run_one("")["batch_size"] == 8
    assert model.sizes == [8, 4, 2, 2, 1, 1, 4]
    assert [job(redis_client, id) for id in jobs] == [
        said(number) if number != RAISES else ("failed", "", "model_error") for number in numbers
    ]
    assert job(redis_client, jobs[2], "error") == ("ValueError: no such picture",)
    (run,) = {job(redis_client, id, "run") for id in jobs}
    assert orjson.loads(run[0])["batch_size"] == 8


def test_a_model_that_raises_for_every_picture_fails_each(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    class Broken(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            raise RuntimeError(f"\n\x00 {len(images)} \ud800\nsecond line" + "x" * 1000)

    jobs = [submit(number) for number in (10, 11, 12)]
    predictor(Broken()).run_one("")
    assert {job(redis_client, id, "state", "code", "error") for id in jobs} == {
        ("failed", "model_error", "RuntimeError:")
    }


def test_a_model_that_answers_too_few_fails_them_rather_than_shift_answers(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    class Short(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            return super().predict(images)[1:]

    jobs = [submit(number) for number in (10, 11, 12)]
    predictor(Short()).run_one("")
    assert {job(redis_client, id) for id in jobs} == {("failed", "", "model_error")}


def test_out_of_memory_halves_the_batch_and_lowers_the_limit(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [(submit(number), number) for number in range(10, 42)]
    model = Watched(room=5)
    one = predictor(model, max_batch_size=16)
    assert [one.run_one("")["batch_size"] for _ in range(5)] == [16, 4, 4, 4, 4]
    assert model.sizes == [16, 8, 4, 4, 8, 4, 4, 4, 4, 4, 4]
    assert [job(redis_client, id) for id, _ in jobs] == [said(number) for _, number in jobs]


def test_a_picture_that_has_no_room_even_alone_fails(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    id = submit(10)
    predictor(Watched(room=0)).run_one("")
    assert job(redis_client, id, "code", "error") == ("model_error", "OutOfMemory: 1 images")


def test_the_halves_run_when_what_the_failed_pass_held_is_free(submit: Submit, predictor: Make) -> None:
    class Activations:
        pass

    class Greedy(Pictures):
        held: list["weakref.ref[Activations]"] = []  # noqa: RUF012  one model, one test

        def predict(self, images: Sequence[Any]) -> list[bytes]:
            assert all(reference() is None for reference in self.held)
            activations = Activations()
            self.held.append(weakref.ref(activations))
            if len(images) > 1:
                raise OutOfMemory
            return super().predict(images)

    for number in range(10, 18):
        submit(number)
    predictor(Greedy()).run_one("")
    assert len(Greedy.held) == 15


def test_a_picture_that_cannot_be_decoded_fails_alone_and_never_reaches_the_model(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    numbers = [10, UNREADABLE, 11]
    jobs = [submit(number) for number in numbers]
    model = Watched()
    assert predictor(model).run_one("")["batch_size"] == 3
    assert model.sizes == [2]
    assert [job(redis_client, id) for id in jobs] == [said(10), ("failed", "", "undecodable_image"), said(11)]


def test_over_the_limit_of_pixels_nothing_is_decoded(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    large = picture(10)[:16] + (1000).to_bytes(4, "big") * 2 + picture(10)[24:]
    id = submit(0, data=large)
    model = Watched()
    predictor(model).run_one("")
    assert job(redis_client, id, "code") == ("undecodable_image",)
    assert model.sizes == []


def test_entries_of_a_version_that_does_not_load_fail_and_the_others_are_predicted(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [submit(10), submit(11, version="9-gone"), submit(12, version="4-b"), submit(10, version="4-b")]
    first, second = Watched(), Watched("4-b")
    assert predictor(first, second).run_one("")["batch_size"] == 4
    assert [job(redis_client, id) for id in jobs] == [
        said(10), ("failed", "", "model_unavailable"), said(12, "4-b"), said(10, "4-b")
    ]  # fmt: skip
    assert job(redis_client, jobs[1], "error") == ("no version 9-gone",)
    assert (first.sizes, second.sizes) == ([1], [2])


def test_only_successes_are_cached(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    for number in (10, RAISES, UNREADABLE):
        submit(number)
    predictor(Watched()).run_one("")
    assert [redis_client.get(key) for key in redis_client.keys("cache:*")] == [output(VERSION, 10)]
    assert job(redis_client, submit(10), "state", "source") == ("succeeded", "cache")
    assert job(redis_client, submit(RAISES), "state") == ("starting",)


def test_nothing_is_computed_for_those_who_left(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    id = submit(10)
    Scripts(redis_client).run(Script.CANCEL, (), bells.record_message(), id, "user", "")
    model = Watched()
    assert predictor(model).run_one("") == {"model": "m", "batch_size": 0, "milliseconds": 0.0}
    assert model.sizes == []


# Bells


def test_another_bell_is_left_to_whom_it_calls(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    submit(10)
    assert predictor(Watched()).run_one("an older token")["batch_size"] == 0
    token = redis_client.get(keys.bell(MODEL)).decode()
    assert predictor(Watched()).run_one(token)["batch_size"] == 1


def test_it_rings_for_another_worker_before_it_computes_unless_nothing_is_left(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    rung: list[int] = []

    class Listening(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            rung.append(redis_client.exists(keys.bell(MODEL)))
            return super().predict(images)

    for number in range(10, 15):
        submit(number)
    one = predictor(Listening(), max_batch_size=4)
    assert [one.run_one("")["batch_size"] for _ in range(2)] == [4, 1]
    assert rung == [1, 0]


def test_a_batch_that_is_not_full_waits_for_more_and_holds_it_too(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    in_hand = InHand()
    held: list[int] = []

    class Holding(Pictures):
        def predict(self, images: Sequence[Any]) -> list[bytes]:
            held.append(len(in_hand.entries()))
            return super().predict(images)

    first, later = submit(10), threading.Timer(0.05, submit, (11,))
    later.start()
    report = predictor(Holding(), in_hand=in_hand, max_wait=timedelta(seconds=0.3)).run_one("")
    later.join()
    assert (report["batch_size"], held) == (2, [2])
    assert job(redis_client, first) == said(10)
    assert in_hand.entries() == []


# Suspects


def test_what_a_dead_worker_had_runs_alone_and_another_worker_is_called(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    jobs = [submit(number) for number in (10, 11)]
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    jobs.append(submit(12))
    redis_client.delete(keys.bell(MODEL), keys.predict_queue(MODEL))
    time.sleep(LEASE.total_seconds() * 1.2)
    model = Watched()
    one = predictor(model)
    assert one.run_one("")["batch_size"] == 1
    assert redis_client.llen(keys.predict_queue(MODEL)) == 1
    assert [one.run_one("")["batch_size"] for _ in range(3)] == [1, 1, 0]
    assert model.sizes == [1, 1, 1]
    assert [job(redis_client, id) for id in jobs] == [said(10), said(11), said(12)]
    assert [job(redis_client, id, "attempts") for id in jobs] == [("2",), ("2",), ("1",)]


def test_it_looks_for_suspects_now_and_then(submit: Submit, predictor: Make, redis_client: redis.Redis) -> None:
    now = [100.0]
    one = predictor(Watched(), monotonic=lambda: now[0])
    assert one.run_one("")["batch_size"] == 0
    submit(10)
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    time.sleep(LEASE.total_seconds() * 1.2)
    assert one.run_one("")["batch_size"] == 0
    now[0] += RECLAIM_PAUSE.total_seconds()
    assert one.run_one("")["batch_size"] == 1


def test_a_suspect_is_claimed_only_when_nothing_else_runs_in_the_process(
    submit: Submit, predictor: Make, redis_client: redis.Redis
) -> None:
    id, turns = submit(10), Turns(2)
    Lanes(redis_client, model=MODEL, consumer="dead", settings=Queue()).pull(8)
    time.sleep(LEASE.total_seconds() * 1.2)
    redis_client.delete(keys.bell(MODEL), keys.predict_queue(MODEL))
    one = threading.Thread(target=predictor(Watched(), turns=turns).run_one, args=("",))
    with turns.shared():
        one.start()
        time.sleep(0.05)
        (pending,) = redis_client.xpending_range(LANE, keys.WORKERS, "-", "+", 9)
        assert (pending["consumer"], pending["times_delivered"]) == (b"dead", 1)
        assert redis_client.llen(keys.predict_queue(MODEL)) == 1  # another may take it meanwhile
    one.join()
    assert job(redis_client, id) == said(10)
