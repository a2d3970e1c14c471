"""The diagrams of docs/architecture.md are what the code's own tables say, and README.md stays short."""

import re
from pathlib import Path

from shared.domain.batch import BatchStatus
from shared.domain.prediction import MOVES, Status

ROOT = Path(__file__).parents[3]
ARROW = re.compile(r"^ +(\S+) --> (\S+)", re.MULTILINE)
OUTSIDE = "[*]"


def _diagrams() -> list[set[tuple[str, str]]]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    return [set(ARROW.findall(block)) for block in re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)]


def test_the_diagram_of_a_job_has_every_move_and_no_other() -> None:
    job, _ = _diagrams()
    moves = {(before.value, after.value) for before, afters in MOVES.items() for after in afters}
    assert {(before, after) for before, after in job if OUTSIDE not in (before, after)} == moves
    assert {before for before, after in job if after == OUTSIDE} == {one.value for one in Status if one.is_terminal}


def test_the_diagram_of_a_batch_has_every_state() -> None:
    _, batch = _diagrams()
    assert {state for arrow in batch for state in arrow} - {OUTSIDE} == {one.value for one in BatchStatus}


def test_the_readme_is_at_most_8_kb() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8192
