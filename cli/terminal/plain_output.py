"""Standard streams that accept any text, whatever the terminal: letters it lacks, undecodable names, a closed stream.

`main` enters `prepared` once, around everything the command does.
"""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cli.terminal.names import shown
from shared.observability.printable import printable_lines, written_out

_ERRORS: Final = "darkroom-plain"
_PLAIN: Final = {"…": "...", "–": "-", "×": "x", "✓": "+", "µ": "u", "≥": ">=", "≤": "<=", "→": "->", "·": "."}
_STREAMS: Final = ("stdin", "stdout", "stderr")


@contextmanager
def prepared() -> Iterator[None]:
    """Make the standard streams accept any text; an output that can't be written ends the command with one line."""
    codecs.register_error(_ERRORS, _replace)
    for number, name in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            _open_nowhere(number, name)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe, `head` for instance, has closed it.
        _drop_the_rest()
        sys.exit(1)
    except SystemExit as end:
        # Why something can't be done is often told by others: a server, a file, a library.
        if isinstance(end.code, str):
            raise SystemExit(printable_lines(end.code)) from None
        raise
    except OSError as error:
        _drop_the_rest()
        what = shown(os.fsdecode(error.filename)) if error.filename else "The output can't be written"
        raise SystemExit(f"{what}: {error.strerror or error}") from None


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the encoding lacks: a codecs error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or written_out(letter) for letter in missing), error.end


def _open_nowhere(number: int, name: str) -> None:
    """Open a stream that the caller closed on /dev/null, so that no file opened later gets its descriptor."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    stream = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115  for good
    setattr(sys, name, stream)


def _drop_the_rest() -> None:
    """Redirect stdout to /dev/null: Python flushes it once more at exit, which would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
