"""A short command that fails says why: by the line that names the error, wherever that stands."""

import pytest

from cli.stack.supervisor.programs import run_quietly

INITDB = """creating directory a ... ok
selecting default max_connections ...
2026-11-27 15:32:05.001 UTC [7] FATAL:  could not write to file "pg_wal/xlogtemp.7": No space left on device
child process exited with exit code 1
initdb: removing contents of data directory "a"
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (INITDB, 'FATAL:  could not write to file "pg_wal/xlogtemp.7": No space left on device'),
        ("first\nlast\n", "last"),
        ("", "exit 3"),
    ],
)
def test_a_command_that_fails_says_why(output: str, reason: str) -> None:
    with pytest.raises(RuntimeError, match=r"^sh: ") as raised:
        run_quietly(("sh", "-c", 'printf %s "$1" >&2; exit 3', "sh", output))
    assert str(raised.value).endswith(reason)
