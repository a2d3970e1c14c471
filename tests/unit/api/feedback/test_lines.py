"""A CSV of feedback is read the same however its bytes arrive, and never raises after its header."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable

from hypothesis import given
from hypothesis import strategies as st

from api.feedback.lines import LONGEST_LINE, Line, LineReader
from shared.domain.identifiers import new_uuid7

ID = new_uuid7()
HEADER = b"id,label,comment\n"


def read(chunks: Iterable[bytes]) -> list[Line]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def run() -> list[Line]:
        return [line async for line in LineReader(takes_custom_ids=True).lines(arriving())]

    return asyncio.run(run())


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_lines_used_or_refused_however_they_arrive(body: bytes, size: int) -> None:
    whole = HEADER + body
    assert read([whole]) == read(whole[at : at + size] for at in range(0, len(whole), size))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)))
def test_what_pythons_csv_writes_is_read(labels: list[str]) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([ID, label, "x"] for label in labels)
    found = [line for line in read([HEADER + written.getvalue().encode()]) if line.answer]
    assert [line.answer.label for line in found if line.answer] == [label.strip() for label in labels if label.strip()]


def test_a_quotation_mark_that_is_never_closed_refuses_what_it_swallows() -> None:
    body = f'{ID},7,x\n{ID},"7,x\n'.encode() + f"{ID},8,y\n".encode() * 5000 + f"{ID},9,z\n".encode()
    first, *rest = read([HEADER, body])
    assert first.answer is not None
    assert "is a quotation mark not closed?" in rest[0].refusal
    assert all(line.answer for line in rest[1:])
    assert len(rest) > 3000


def test_a_line_without_end_takes_no_memory() -> None:
    [line] = read([HEADER, *([b"x" * 65536] * 40)])
    assert "over 65,536 bytes" in line.refusal
    assert LONGEST_LINE == 65536


def test_separators_are_those_of_the_header() -> None:
    for mark in ",;\t":
        [line] = read([f"id{mark}label\n{ID}{mark}7\n".encode()])
        assert line.answer is not None
        assert line.answer.label == "7"
