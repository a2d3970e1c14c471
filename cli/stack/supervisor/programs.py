"""The description of one program: how to start, probe and stop it, and where its output goes."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from cli.stack.supervisor import launcher
from shared.observability.log_file import LARGEST, rename

Probe = Callable[[int], str]
"""Called with the pid (0 for an external server); returns an empty string when ready, else why not. May block 1 s."""

_TELLING: Final = 30
"""Lines at the end of a log among which a crash's reason is looked for."""
_NAMES_AN_ERROR: Final = re.compile(r"\b(?:error|fatal|panic)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The Unix user a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep running. With `once`: a step that must exit 0. Without a command: an external server."""

    name: str
    role: str
    command: tuple[str, ...] = ()
    once: bool = False
    url: str | None = None
    login_file: str | None = None
    """The file with the login that its address asks for."""
    metrics_url: str | None = None
    """The address of its metrics, in Prometheus' text format."""
    environment: dict[str, str] = field(default_factory=dict)
    account: Account | None = None
    niceness: int = 0
    """Niceness: 0 is normal priority, 19 the lowest."""
    after: tuple[str, ...] = ()
    """Names of programs that must be ready before this one starts for the first time."""
    prepare: Callable[[], None] | None = None
    """Called before each start; may block, and must be safe to repeat."""
    probe: Probe | None = None
    """None: it is ready as soon as it runs."""
    is_watched: bool = False
    """Whether the probe is asked for as long as it runs: for servers that may hang, about which nothing else tells."""
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGKILL
    """Sent by the kernel when the supervisor dies. A worker's unfinished images go to others when their lease ends."""
    stop_rank: int = 0
    """Programs stop in ascending order of rank, equal ranks together."""
    stop_patience: timedelta = timedelta(seconds=10)
    has_log_cut: bool = False
    """Whether the supervisor bounds its log while it runs: a program that can't be led to another file."""
    longest_pause: timedelta = timedelta(seconds=30)
    """The longest pause between two starts of a program that keeps ending."""


def spawn_command(program: Program, *, parent: int) -> tuple[str, ...]:
    """Return the program's command line behind the launcher, so that it ends when `parent` does."""
    keep = str(launcher.KEEP)
    uid, gid = (str(program.account.uid), str(program.account.gid)) if program.account else (keep, keep)
    return (
        # -I -S: without site-packages and the current directory it starts in 15 ms.
        sys.executable, "-I", "-S", str(Path(launcher.__file__)),
        str(parent), str(int(program.orphan_signal)), uid, gid, str(program.niceness), *program.command,
    )  # fmt: skip


def ending_with_this_process(command: Sequence[str]) -> tuple[str, ...]:
    """Return a command line of which the kernel kills the process when this one dies, also by SIGKILL.

    To be started from the main thread: the kernel goes by the thread.
    """
    return spawn_command(Program(name="", role="", command=tuple(command)), parent=os.getpid())


def log_path(home: Path, role: str) -> Path:
    """Return the file that a role's processes write their output to."""
    return home / "logs" / f"{role}.log"


def log_tail(home: Path, role: str, *, lines: int, since: int = 0) -> list[str]:
    """Return the last lines of a role's output, from this place on unless it was cut; nothing where it has none."""
    try:
        with log_path(home, role).open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - 16_384, since if since <= end else 0))
            text = file.read().decode(errors="replace")
    except OSError:  # no file, or none can be opened now: the text only helps, nothing depends on it
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def log_end(home: Path, role: str) -> int:
    """Return the size of a role's log, where what is written from now on begins; 0 where there is none."""
    try:
        return log_path(home, role).stat().st_size
    except OSError:
        return 0


def telling_line(home: Path, role: str, *, since: int) -> str:
    """Return the last line since this place of a role's log that names an error, else the last; empty without lines.

    A server that can't start names the reason, and then says that it shuts down.
    """
    lines = log_tail(home, role, lines=_TELLING, since=since)
    return next((line for line in reversed(lines) if _NAMES_AN_ERROR.search(line)), lines[-1] if lines else "")


def log_environment(home: Path, role: str) -> dict[str, str]:
    """Return the variable by which Darkroom's processes bound their log while they run."""
    return {"DARKROOM_LOG_FILE": str(log_path(home, role))}


@contextmanager
def open_log(home: Path, role: str) -> Iterator[BinaryIO]:
    """Open a role's log for appending; a full one is renamed to `.log.1` first, in place of the one before."""
    path = log_path(home, role)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size >= LARGEST:
        rename(path)
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        yield file


def run_quietly(command: tuple[str, ...], *, account: Account | None = None, text: str = "") -> None:
    """Run a short command to its end; raises RuntimeError with what it said where it fails.

    That is its first line that names an error: initdb, for instance, goes on to say that it cleans up.
    """
    done = subprocess.run(  # noqa: S603  the embedded servers' own programs
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        last = words[-1] if words else f"exit {done.returncode}"
        said = next((line for line in words if _NAMES_AN_ERROR.search(line)), last)
        raise RuntimeError(f"{Path(command[0]).name}: {said.strip()}")
