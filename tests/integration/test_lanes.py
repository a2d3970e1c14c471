"""What a predict worker pulls from the lanes, when they count as empty, and which bells it answers."""

from typing import Any

import orjson
import redis

from shared.queue import keys
from shared.queue.consumer.entries import Result
from shared.queue.consumer.lanes import Lanes
from shared.queue.consumer.puller import MOST_BULK_LANES_A_PULL, PEOPLE_STAY
from shared.queue.lua import Script, Scripts
from shared.settings import Queue
from tests.support.queue_system import BULK, MODEL, System, images, jobs, submit

# Pulling


def test_beside_interactive_work_bulk_fills_micro_batches_up_to_its_limit(
    system: System, redis_client: redis.Redis
) -> None:
    clock = [0.0]
    lanes = Lanes(redis_client, model=MODEL, consumer="w", settings=Queue(), monotonic=lambda: clock[0])
    submit(system, 100, lane=BULK[0])
    assert len(lanes.pull(16, beside=3).entries) == 16, "nobody is there"
    submit(system, 1)
    mixed = lanes.pull(16, beside=3)
    assert images(mixed.entries)[0] == "interactive 0"
    assert len(mixed.entries) == 3
    assert not mixed.lanes_empty
    assert len(lanes.pull(16, beside=3).entries) == 3, "the next person may come"
    for number in range(5):
        system.submit(b"%d" % number)
    assert len(lanes.pull(16, beside=3).entries) == 6, "people are not held up, and one slot is bulk's"
    clock[0] += PEOPLE_STAY.total_seconds()
    assert len(lanes.pull(16, beside=3).entries) == 16


def test_lanes_without_submissions_are_empty(system: System) -> None:
    pull = system.lanes.pull(8)
    assert (pull.entries, pull.lanes_empty) == ([], True)


def test_interactive_work_comes_first_and_one_slot_is_reserved_for_bulk(system: System) -> None:
    submit(system, 20, lane=BULK[0])
    submit(system, 20)
    first = system.lanes.pull(8)
    assert images(first.entries) == [f"interactive {n}" for n in range(7)] + [f"{BULK[0]} 0"]
    assert not first.lanes_empty


def test_bulk_fills_what_interactive_work_leaves_free(system: System) -> None:
    submit(system, 20, lane=BULK[0])
    submit(system, 2)
    assert images(system.lanes.pull(8).entries) == [f"interactive {n}" for n in range(2)] + [
        f"{BULK[0]} {n}" for n in range(6)
    ]


def test_without_bulk_work_no_slot_is_reserved_for_it(system: System) -> None:
    submit(system, 20)
    assert len(system.lanes.pull(8).entries) == 8


def test_a_batch_of_one_is_interactive_while_there_is_such_work(system: System) -> None:
    submit(system, 2, lane=BULK[0])
    submit(system, 1)
    pulls = [system.lanes.pull(1) for _ in range(4)]
    assert [images(pull.entries) for pull in pulls] == [["interactive 0"], [f"{BULK[0]} 0"], [f"{BULK[0]} 1"], []]
    assert [pull.lanes_empty for pull in pulls] == [False, False, False, True]


def test_bulk_lanes_are_read_in_rotation(system: System) -> None:
    for lane in BULK[:3]:
        submit(system, 4, lane=lane)
    pulls = [images(system.lanes.pull(2).entries) for _ in range(6)]
    assert [pull[0].rpartition(" ")[0] for pull in pulls] == [BULK[0], BULK[1], BULK[2]] * 2
    assert sorted(image for pull in pulls for image in pull) == sorted(
        f"{lane} {n}" for lane in BULK[:3] for n in range(4)
    )


def test_a_steady_stream_of_interactive_work_does_not_starve_bulk(system: System) -> None:
    for lane in BULK[:2]:
        submit(system, 2, lane=lane)
    taken: list[str] = []
    for _ in range(4):
        submit(system, 8)
        taken += images(system.lanes.pull(4).entries)
    assert sorted(image for image in taken if image.startswith("bulk")) == sorted(
        f"{lane} {n}" for lane in BULK[:2] for n in range(2)
    )


def test_bulk_lanes_share_a_micro_batch_when_each_holds_little(system: System) -> None:
    for lane in BULK[:3]:
        submit(system, 1, lane=lane)
    pull = system.lanes.pull(8)
    assert sorted(images(pull.entries)) == [f"{lane} 0" for lane in BULK[:3]]
    assert pull.lanes_empty


def test_lanes_are_not_reported_empty_while_one_was_not_checked(system: System) -> None:
    lanes = BULK[: MOST_BULK_LANES_A_PULL + 2]
    for lane in lanes:
        submit(system, 1, lane=lane)
    first, second = system.lanes.pull(32), system.lanes.pull(32)
    assert (len(first.entries), first.lanes_empty) == (MOST_BULK_LANES_A_PULL, False)
    assert images(second.entries) == [f"{lane} 0" for lane in lanes[MOST_BULK_LANES_A_PULL:]]
    assert second.lanes_empty


def test_lanes_whose_work_is_all_leased_are_empty_however_many(system: System) -> None:
    for lane in BULK:
        submit(system, 1, lane=lane)
    while not (pull := system.lanes.pull(3)).lanes_empty:
        assert pull.entries
    assert len(BULK) > MOST_BULK_LANES_A_PULL


def test_a_full_pull_never_reports_the_lanes_empty(system: System) -> None:
    submit(system, 3)
    assert not system.lanes.pull(3).lanes_empty
    assert system.lanes.pull(3).lanes_empty


def test_a_finished_bulk_lane_leaves_the_rotation_and_comes_back_with_new_work(
    system: System, redis_client: redis.Redis
) -> None:
    submit(system, 2, lane=BULK[0])
    submit(system, 2, lane=BULK[1])
    assert system.compute() == 4
    assert system.lanes.pull(8).lanes_empty
    assert not redis_client.exists(keys.rotation(MODEL), *(keys.lane(MODEL, lane) for lane in BULK[:2]))
    id = system.submit(b"later", lane=BULK[0])
    assert system.compute() == 1
    assert jobs(redis_client, [id], "state") == [("succeeded",)]


def test_a_bulk_lane_whose_work_is_all_leased_keeps_its_place(system: System, redis_client: redis.Redis) -> None:
    submit(system, 2, lane=BULK[0])
    in_hand = system.lanes.pull(8).entries
    assert system.lanes.pull(8).lanes_empty
    assert redis_client.lrange(keys.rotation(MODEL), 0, -1) == [keys.lane(MODEL, BULK[0]).encode()]
    assert len(system.lanes.begin(in_hand)) == 2


# Bells


def test_only_the_current_bell_is_answered(system: System, redis_client: redis.Redis) -> None:
    system.submit(b"one")
    token = redis_client.get(keys.bell(MODEL)).decode()
    assert system.lanes.answer("another") is None
    assert redis_client.exists(keys.bell(MODEL))
    call = system.lanes.answer(token)
    assert call is not None
    assert not call.bulk_waits
    assert not redis_client.exists(keys.bell(MODEL))
    system.submit(b"two", lane=BULK[0])
    tick = system.lanes.answer("")
    assert tick is not None
    assert tick.bulk_waits


def test_ringing_twice_sends_one_message(system: System, redis_client: redis.Redis) -> None:
    system.lanes.ring()
    system.lanes.ring()
    (message,) = redis_client.lrange(keys.predict_queue(MODEL), 0, -1)
    assert orjson.loads(message)["headers"]["id"] == redis_client.get(keys.bell(MODEL)).decode()


# Finishing


def test_large_outputs_are_written_in_several_calls_and_each_reaches_its_job(
    system: System, redis_client: redis.Redis
) -> None:
    ids = submit(system, 9)
    entries = system.lanes.pull(9).entries
    outputs = [orjson.dumps({"of": entry.image.decode(), "mask": "x" * 1_000_000}) for entry in entries]
    results = [Result(entry, "succeeded", output) for entry, output in zip(entries, outputs, strict=True)]
    before = calls_of_scripts(redis_client)
    assert system.lanes.finish(results, run=b"{}") == 9
    assert calls_of_scripts(redis_client) - before == 3
    found = [orjson.loads(output)["of"] for (output,) in jobs(redis_client, ids, "output")]
    assert found == [f"interactive {number}" for number in range(9)]


def test_many_jobs_that_share_a_large_output_end_in_several_calls(system: System, redis_client: redis.Redis) -> None:
    ids = [system.submit(b"the same") for _ in range(30)]
    system.cancel(ids[0])
    [entry] = system.lanes.pull(9).entries
    output = orjson.dumps({"mask": "x" * 1_000_000})
    before = calls_of_scripts(redis_client)
    assert system.lanes.finish([Result(entry, "succeeded", output)], run=b"{}") == 29
    assert calls_of_scripts(redis_client) - before == 8
    found = jobs(redis_client, ids[1:], "state", "source", "output")
    assert found[0] == ("succeeded", "model", output.decode()), "the first was canceled"
    assert set(found[1:]) == {("succeeded", "coalesced", output.decode())}
    assert redis_client.xlen(keys.FINISHED) == 30
    assert redis_client.exists(entry.waiting) == redis_client.xlen(entry.lane) == 0
    assert redis_client.get(entry.cache) == output


def test_a_call_that_is_repeated_in_between_ends_each_job_once(system: System, redis_client: redis.Redis) -> None:
    ids = [system.submit(b"the same") for _ in range(9)]
    [entry] = system.lanes.pull(9).entries
    output = orjson.dumps({"mask": "x" * 1_000_000})
    arguments = (entry.lane, entry.id, entry.waiting, entry.cache, "succeeded", output, "", "", 1)
    scripts = Scripts(redis_client)
    said = [scripts.run(Script.FINISH, (), "task", 1000, b"{}", 1000, 0, *arguments) for _ in range(4)]
    assert said == [-4, -4, 1, 0]
    assert [source for (source,) in jobs(redis_client, ids, "source")] == ["model", *["coalesced"] * 8]
    assert redis_client.xlen(keys.FINISHED) == 9


def calls_of_scripts(client: redis.Redis) -> int:
    commands: Any = client.info("commandstats")
    return int(commands["cmdstat_evalsha"]["calls"])
