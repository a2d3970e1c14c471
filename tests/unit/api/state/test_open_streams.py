"""How often event streams read."""

from contextlib import ExitStack

import pytest

from api.state.open_streams import APART, POLL, OpenStreams
from shared.domain.identifiers import Owner

ANN, BOB = Owner("ann"), Owner("bob")
FEW = POLL // APART


@pytest.mark.parametrize("count", [1, 2, FEW, FEW + 1, 1000, 20_000])
def test_an_owners_streams_read_no_more_often_together_however_many_they_are(count: int) -> None:
    streams = OpenStreams()
    with ExitStack() as opened:
        opened.enter_context(streams.one_more(BOB))
        for _ in range(count):
            opened.enter_context(streams.one_more(ANN))
        assert count / streams.pause(ANN).total_seconds() <= 1 / APART.total_seconds()
        assert (streams.pause(ANN) == POLL) == (count <= FEW)
        assert streams.pause(ANN) % POLL == POLL * 0
        assert streams.pause(BOB) == POLL
    assert streams.pause(ANN) == POLL
