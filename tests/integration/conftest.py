"""How long the protocol simulation plays: a minute with the others, longer when asked."""

import pytest


@pytest.fixture
def simulation_seconds(request: pytest.FixtureRequest) -> float:
    seconds: float = request.config.getoption("--simulation-seconds")
    return seconds
