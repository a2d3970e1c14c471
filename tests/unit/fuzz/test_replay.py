"""Replays the fuzzer's seeds and past findings without the fuzzer."""

from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parents[2] / "fuzz" / "found"


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_read(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name[:14]}")
def test_past_findings_stay_fixed(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())
