from pathlib import Path

import pytest

from cli.bulk import batches, results
from cli.bulk.journal import Entry
from cli.bulk.parts import Mark
from cli.bulk.resuming import Taken
from cli.client import Client, Declined
from tests.component.cli.bulk.stub_gateway import Uploaded, bulk_gateway


def taken(id: str, *names: str, is_archive: bool = False) -> Taken:
    return Taken(Entry(id, tuple(Mark(name, 1, 1) for name in names), is_archive), None)


def test_interrupted_results_leave_the_file_unchanged(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    out.write_text("of yesterday")
    with bulk_gateway() as server, Client(server.url, pause=lambda _: None) as client:
        server.state.batches["1"] = Uploaded("1", ["a.png", "b.png"])
        server.state.broken_results = 100
        part = taken("1", "a.png", "b.png")
        part.batch = batches.read_batch(client, "1")
        with pytest.raises(Declined, match="break off"):
            results.write_results(client, [part], out)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of yesterday"]


def test_each_name_counts_where_it_was_last_sent_and_an_archive_as_a_whole() -> None:
    parts = [
        taken("1", "a", "b"),
        taken("2", "x.zip", is_archive=True),
        taken("3", "b"),
        taken("4", "x.zip", is_archive=True),
    ]
    last = [(part.entry.batch, set(replaced)) for part, replaced in results.last_of_each(parts)]
    assert last == [("1", {"b"}), ("3", set()), ("4", set())]


def test_items_that_the_gateway_no_longer_knows_count_as_failed() -> None:
    with Client("http://127.0.0.1:1") as client:
        found = results.tally_results(client, [taken("1", "a", "b"), taken("2", "b")], [])
    assert (found.failed, found.total) == (2, 2)
    assert [failure.name for failure in found.failures] == ["a", "b"]
