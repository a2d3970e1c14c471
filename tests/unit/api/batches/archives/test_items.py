"""Skipped files of an upload: all are counted, some are named, with any names."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from api.batches.archives.items import Skipped
from api.schemas.bounds import LONGEST_SKIPPED_NAME, MOST_SKIPPED_NAMES


def skipped(*names: str) -> Skipped:
    found = Skipped()
    for name in names:
        found.add(name)
    return found


def test_skipped_documents_are_named_before_clutter() -> None:
    found = skipped("a/.DS_Store", "a/labels.csv", "__MACOSX/a/._1.png", "link.png")
    assert found.count == 4
    assert found.names == ["a/labels.csv", "link.png", "a/.DS_Store", "__MACOSX/a/._1.png"]


def test_much_clutter_displaces_no_document_from_the_names() -> None:
    documents = [f"{number}.txt" for number in range(MOST_SKIPPED_NAMES - 1)]
    clutter = [f"{number}/.DS_Store" for number in range(10 * MOST_SKIPPED_NAMES)]
    found = skipped(*clutter, *documents)
    assert (found.count, found.names) == (len(clutter) + len(documents), [*documents, clutter[0]])
    found = skipped(*clutter, *documents, "a.txt", "b.txt")
    assert (found.count, found.names) == (len(clutter) + len(documents) + 2, [*documents, "a.txt"])


def test_a_long_name_keeps_its_end_without_unprintable_characters() -> None:
    found = skipped("x" * 1000 + "/labels.csv", "a\0b\r\n\u202egnp.csv\ud800", "\0", "")
    first, second = found.names
    assert (len(first), first[-12:]) == (LONGEST_SKIPPED_NAME, "x/labels.csv")
    assert (second, found.count) == ("abgnp.csv", 4)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=()), max_size=2 * LONGEST_SKIPPED_NAME),
        max_size=3 * MOST_SKIPPED_NAMES,
    )
)
def test_names_stay_within_their_bounds_and_are_json(names: list[str]) -> None:
    found = skipped(*names)
    assert found.count == len(names)
    assert len(found.names) <= MOST_SKIPPED_NAMES
    assert all(0 < len(name) <= LONGEST_SKIPPED_NAME for name in found.names)
    assert orjson.loads(orjson.dumps(found.names)) == found.names
