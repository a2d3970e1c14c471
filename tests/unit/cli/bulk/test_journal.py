from pathlib import Path

import pytest

from cli.bulk.journal import Entry, Journal, idempotency_key, journal_path
from cli.bulk.parts import Mark

ONE = Entry("batch1", (Mark("a.png", 1, 2), Mark("ä\udc80.png", 3, 4)), is_archive=False)
TWO = Entry("batch2", (Mark("b.zip", 5, 6),), is_archive=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "bulk" / "x.jsonl"


def test_entries_of_the_journal_are_read_on_resuming_under_the_same_run(path: Path) -> None:
    journal = Journal.begin(path)
    journal.add(ONE)
    journal.add(TWO)
    resumed = Journal.resume(path)
    assert resumed == journal
    assert resumed.entries == [ONE, TWO]


def test_resuming_without_a_journal_starts_one(path: Path) -> None:
    journal = Journal.resume(path)
    assert journal.entries == []
    assert Journal.resume(path).run == journal.run


def test_a_new_run_replaces_the_journal_and_has_another_id(path: Path) -> None:
    first = Journal.begin(path)
    first.add(ONE)
    second = Journal.begin(path)
    assert second.run != first.run
    assert Journal.resume(path).entries == []


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_half_written_line_of_a_killed_run_is_dropped(path: Path, cut: int) -> None:
    journal = Journal.begin(path)
    journal.add(ONE)
    journal.add(TWO)
    path.write_bytes(path.read_bytes()[:-cut])
    resumed = Journal.resume(path)
    assert (resumed.run, resumed.entries) == (journal.run, [ONE])
    resumed.add(TWO)
    assert Journal.resume(path).entries == [ONE, TWO]


def test_a_journal_without_a_complete_first_line_is_started_over(path: Path) -> None:
    Journal.begin(path)
    path.write_bytes(path.read_bytes()[:10])
    assert Journal.resume(path).entries == []
    assert Journal.resume(path).run == Journal.resume(path).run


def test_a_journal_belongs_to_a_gateway_a_model_and_paths_in_any_order(tmp_path: Path) -> None:
    def of(*paths: str, url: str = "http://a", model: str | None = None) -> Path:
        return journal_path(tmp_path, url=url, model=model, paths=[tmp_path / path for path in paths])

    assert of("x", "y") == of("y", "x/../x")
    assert len({of("x"), of("y"), of("x", "y"), of("x", url="http://b"), of("x", model="m")}) == 5


def test_a_key_is_the_same_for_the_same_files_and_another_when_they_are_sent_again() -> None:
    def key(
        run: str = "1",
        model: str | None = None,
        webhook: str | None = None,
        files: tuple[Mark, ...] = ONE.files,
        tries: int = 0,
    ) -> str:
        return idempotency_key(run, model=model, webhook=webhook, files=files, tries=tries)

    assert key() == key()
    others = [key(run="2"), key(model="m"), key(webhook="http://w"), key(files=ONE.files[:1]), key(tries=1)]
    assert len({key(), *others}) == 6
