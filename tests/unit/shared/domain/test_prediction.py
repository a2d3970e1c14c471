import re

from shared.domain.batch import BatchStatus
from shared.domain.prediction import MOVES, ErrorCode, Status
from shared.queue.lua import Script, source


def test_a_terminal_status_never_changes() -> None:
    terminal = {status for status in Status if status.is_terminal}
    assert terminal == {Status.SUCCEEDED, Status.FAILED, Status.CANCELED}
    assert all(not MOVES[status] for status in terminal)


def test_lua_uses_the_statuses_of_the_table() -> None:
    everything = "".join(source(script) for script in Script)
    (table,) = set(re.findall(r"local TERMINAL = {(.*)}", everything))
    assert set(re.findall(r"(\w+) = true", table)) == {status for status in Status if status.is_terminal}
    written = re.findall(r"(?:accept|HSET).*'state', '([a-z]+)'|put\(id, '([a-z]+)'|== '([a-z]+)'", everything)
    # A batch has states of its own; the reason of a cancellation and fields are no status.
    batches = {*BatchStatus, "ended"}
    words = (
        {word for found in written for word in found if word}
        - {"deadline", "user", "silent", "image", "owner"}
        - batches
    )
    assert words <= set(Status)
    assert {Status.STARTING, Status.PROCESSING} <= words


def test_lua_writes_only_known_error_codes() -> None:
    everything = "".join(source(script) for script in Script)
    assert set(re.findall(r"code = '(\w+)'", everything)) <= set(ErrorCode)
