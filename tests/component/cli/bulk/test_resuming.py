from collections.abc import Iterator, Sequence

import pytest

from cli.bulk.journal import Entry
from cli.bulk.parts import File, Mark, Part
from cli.bulk.resuming import known_parts, still_to_send
from cli.client import Client
from tests.component.cli.bulk.stub_gateway import BulkGateway, Uploaded, bulk_gateway

A, B, C = (Mark(name, 1, 1) for name in ("a.png", "b.png", "c.txt"))
CHANGED_A = Mark("a.png", 2, 2)


@pytest.fixture
def gateway() -> Iterator[BulkGateway]:
    with bulk_gateway() as server:
        yield server


def left(gateway: BulkGateway, files: Sequence[Mark], *entries: Entry) -> list[Part]:
    with Client(gateway.url) as client:
        found = [File(f"/{mark.name}", mark) for mark in files]
        return still_to_send(client, found, entries=entries, taken=known_parts(client, entries))


def marks(parts: Sequence[Part]) -> list[tuple[list[Mark], int]]:
    return [([file.mark for file in part.files], part.tries) for part in parts]


def taken(gateway: BulkGateway, id: str, *files: Mark, results: int | None = None, canceled: bool = False) -> Entry:
    names = [mark.name for mark in files]
    gateway.state.batches[id] = Uploaded(id, names, canceled=canceled, results=results)
    return Entry(id, files, is_archive=False)


def test_files_that_succeeded_or_are_unfinished_are_not_sent_again(gateway: BulkGateway) -> None:
    entry = taken(gateway, "1", A, B)
    assert left(gateway, [A, B], entry) == []
    gateway.state.predicting.clear()
    assert left(gateway, [A, B], entry) == []


def test_files_never_accepted_come_first_in_parts_of_their_own(gateway: BulkGateway) -> None:
    entry = taken(gateway, "1", A, C)
    assert marks(left(gateway, [A, B, C], entry)) == [([B], 0), ([C], 1)]


def test_files_without_a_result_in_a_canceled_batch_are_sent_again(gateway: BulkGateway) -> None:
    entry = taken(gateway, "1", A, B, results=1, canceled=True)
    gateway.state.batches["1"].succeeded = frozenset({"a.png"})
    assert marks(left(gateway, [A, B], entry)) == [([B], 1)]


def test_files_that_failed_last_are_sent_again_even_if_they_succeeded_before(gateway: BulkGateway) -> None:
    first = taken(gateway, "1", A)
    second = taken(gateway, "2", CHANGED_A, canceled=True)
    assert marks(left(gateway, [A], first, second)) == [([A], 1)]


def test_each_attempt_is_counted_so_that_no_key_is_used_twice(gateway: BulkGateway) -> None:
    entries = [taken(gateway, id, C) for id in ("1", "2")]
    assert marks(left(gateway, [C], *entries, Entry("forgotten", (C,), is_archive=False))) == [([C], 3)]
