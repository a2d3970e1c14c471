"""Ids are UUIDs version 7; those of one OrderedIds sort in the order they were made, even if the clock goes back."""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from shared.domain.identifiers import OrderedIds, is_uuid, new_uuid7

A_MILLISECOND_HOLDS = 4096
AN_HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


def time_of(id: str) -> int:
    """Read an id's milliseconds, its first 48 bits."""
    return uuid.UUID(id).int >> 80


def count_of(id: str) -> int:
    """Read the 12 bits between version and variant."""
    return uuid.UUID(id).int >> 64 & 0xFFF


def ahead(*, milliseconds: int, count: int = 0) -> OrderedIds:
    """Return a maker whose last id is later than its clock, which has gone back since."""
    ids = OrderedIds()
    ids._last = (now() + milliseconds) << 12 | count
    return ids


def test_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_uuid7(unix_ms=milliseconds) for milliseconds in (1, 2, 1_700_000_000_000, 1_900_000_000_000)]
    assert ids == sorted(ids)
    for id in ids:
        assert uuid.UUID(id).version == 7
        assert uuid.UUID(id).variant == uuid.RFC_4122


def test_ids_of_one_instant_differ() -> None:
    assert len({new_uuid7(unix_ms=5) for _ in range(1000)}) == 1000


def test_only_the_canonical_form_is_an_id() -> None:
    id = new_uuid7()
    assert is_uuid(id)
    assert not is_uuid(id.upper())
    assert not is_uuid(id.replace("-", ""))
    assert not is_uuid("../etc/passwd")


def test_twenty_thousand_ids_in_a_row_are_strictly_increasing() -> None:
    ids = OrderedIds()
    made = [ids.next() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))


def test_every_id_is_a_canonical_uuid_of_version_7() -> None:
    ids = OrderedIds()
    for id in [ids.next() for _ in range(2 * A_MILLISECOND_HOLDS)]:
        assert is_uuid(id)
        assert (uuid.UUID(id).version, uuid.UUID(id).variant) == (7, uuid.RFC_4122)


def test_an_id_tells_the_time_it_was_made_at() -> None:
    before = now()
    id = OrderedIds().next()
    assert before <= time_of(id) <= now()


def test_after_a_pause_ids_have_the_clocks_time_again() -> None:
    ids = OrderedIds()
    ids._last = (now() - AN_HOUR) << 12 | 0xABC
    before = now()
    id = ids.next()
    assert time_of(id) >= before
    assert count_of(id) == 0


def test_ids_beyond_a_milliseconds_capacity_take_the_next_millisecond() -> None:
    ids = ahead(milliseconds=AN_HOUR)
    made = [ids.next() for _ in range(2 * A_MILLISECOND_HOLDS)]
    assert made == sorted(set(made))
    places = [(time_of(id), count_of(id)) for id in made]
    start = places[0][0]
    assert places[: A_MILLISECOND_HOLDS - 1] == [(start, count) for count in range(1, A_MILLISECOND_HOLDS)]
    assert places[A_MILLISECOND_HOLDS - 1] == (start + 1, 0)
    assert places[-1] == (start + 2, 0)


@pytest.mark.parametrize("count", [0, 1, 0x7FF, 0xFFE, 0xFFF])
def test_ids_stay_ordered_when_the_clock_goes_back(count: int) -> None:
    ids = ahead(milliseconds=AN_HOUR, count=count)
    last = ids._last
    made = [ids.next() for _ in range(10)]
    assert [time_of(id) << 12 | count_of(id) for id in made] == list(range(last + 1, last + 11))
    assert made == sorted(made)


def test_ids_stay_ordered_when_the_clock_goes_back_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [5_000, 5_001, 3_000, 3_001, 5_002, 1_000, 5_001, 6_000]
    ids, given = OrderedIds(), iter(readings)
    with monkeypatch.context() as patch:
        patch.setattr("shared.domain.identifiers.time.time_ns", lambda: next(given) * 1_000_000)
        made = [ids.next() for _ in readings]
    assert made == sorted(set(made))
    assert [time_of(id) for id in made] == [5_000, 5_001, 5_001, 5_001, 5_002, 5_002, 5_002, 6_000]


def test_two_makers_never_make_the_same_id() -> None:
    one, other = OrderedIds(), OrderedIds()
    one._last = other._last = (now() + AN_HOUR) << 12
    made = {maker.next() for _ in range(5_000) for maker in (one, other)}
    assert len(made) == 10_000


def test_the_lowest_62_bits_are_random() -> None:
    ids = ahead(milliseconds=AN_HOUR)
    tails = [uuid.UUID(ids.next()).int & 0x3FFF_FFFF_FFFF_FFFF for _ in range(500)]
    assert len(set(tails)) == 500
    for bit in range(62):
        assert {tail >> bit & 1 for tail in tails} == {0, 1}


def test_an_id_made_without_a_maker_has_74_random_bits() -> None:
    ids = [uuid.UUID(new_uuid7(unix_ms=1_700_000_000_000)) for _ in range(500)]
    assert {id.int >> 80 for id in ids} == {1_700_000_000_000}
    assert {(id.version, id.variant) for id in ids} == {(7, uuid.RFC_4122)}
    for bit in (*range(62), *range(64, 76)):
        assert {id.int >> bit & 1 for id in ids} == {0, 1}


def test_threads_and_forked_processes_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [id for ids in pool.map(lambda _: [new_uuid7() for _ in range(2000)], range(8)) for id in ids]
    assert len(set(made)) == len(made)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_uuid7()[14:].encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != new_uuid7()[14:]
    for end in (read, write):
        os.close(end)
