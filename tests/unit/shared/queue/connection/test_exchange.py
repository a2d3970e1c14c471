"""A large command is written in pieces, which together are what the client library would write at once."""

from hiredis import pack_command
from hypothesis import given
from hypothesis import strategies as st

from shared.queue.connection.exchange import LARGE, _pieces

SIZES = st.integers(0, 9) | st.sampled_from([LARGE + 1, 3 * LARGE])
PARTS = st.text(max_size=9) | st.integers(-9, 2**63)


@given(st.lists(PARTS | st.tuples(SIZES), min_size=1, max_size=6))
def test_joined_pieces_equal_the_command_and_none_is_long(parts: list[str | int | tuple[int]]) -> None:
    command = tuple(bytes(part[0]) if isinstance(part, tuple) else part for part in parts)
    pieces = list(_pieces(command))
    assert b"".join(pieces) == pack_command(command)
    assert max(map(len, pieces)) <= LARGE + 6 * 100
