"""What is printed arrives, whatever the terminal: letters it does not have, names that are no text, no terminal at all.

`prepared` is entered once, before anything is read or printed, around everything the command does.
"""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cli.terminal.names import shown, written_out

_ERRORS: Final = "darkroom-plain"
_PLAIN: Final = {"…": "...", "–": "-", "×": "x", "✓": "+", "µ": "u", "≥": ">=", "≤": "<=", "→": "->", "·": "."}
_STREAMS: Final = ("stdin", "stdout", "stderr")


@contextmanager
def prepared() -> Iterator[None]:
    """Make the standard streams take everything; an output that can't be written ends the command in one line."""
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
        # Who read it has seen enough.
        _drop_the_rest()
        sys.exit(1)
    except OSError as error:
        _drop_the_rest()
        what = shown(os.fsdecode(error.filename)) if error.filename else "The output can't be written"
        raise SystemExit(f"{what}: {error.strerror or error}") from None


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Say in plain letters what an encoding has none for."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or written_out(letter) for letter in missing), error.end


def _open_nowhere(number: int, name: str) -> None:
    """Let a stream that the caller closed lead nowhere, so that no file that is opened next takes its place."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    stream = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115  for good
    setattr(sys, name, stream)


def _drop_the_rest() -> None:
    """Let what is still to be written lead nowhere: Python would fail on it once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
