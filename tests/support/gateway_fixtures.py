"""Fixtures of every folder that has a fixture `stack`: a client of its gateway, and a gateway that asks for keys.

A conftest imports them; `stack` is its own.
"""

from collections.abc import Iterator

import pytest

from tests.support.api_client import Door
from tests.support.extra_processes import ClosedGateway
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def door(stack: Stack) -> Iterator[Door]:
    """A client of the stack's gateway."""
    with Door(stack) as door:
        yield door


@pytest.fixture(scope="module")
def closed(stack: Stack) -> Iterator[ClosedGateway]:
    """A gateway on the stack's stores that asks for keys."""
    with ClosedGateway.running(stack) as gateway:
        yield gateway
