"""`darkroom` commands as processes, forked from one that has imported what they need."""

import os
from collections.abc import Iterator

import pytest

from tests.support.command_forks import CommandForks
from tests.support.waiting import ENOUGH_TIME


@pytest.fixture(scope="session")
def command_forks() -> Iterator[CommandForks]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    with CommandForks(environment | ENOUGH_TIME) as forks:
        yield forks
