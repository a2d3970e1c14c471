"""What a supervisor needs to know of one program to start, watch and stop it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from cli.stack.supervisor import launcher

Probe = Callable[[int], str]
"""Given the pid (0 for somebody else's server): an empty string when ready, else why not. May block for a second."""

LARGEST_LOG = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The Unix user a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep running. With `once`: a step that must end well. Without a command: another's server."""

    name: str
    role: str
    command: tuple[str, ...] = ()
    once: bool = False
    url: str | None = None
    login_file: str | None = None
    """Where the login is kept that its address asks for."""
    metrics_url: str | None = None
    """Where it serves its metrics, in Prometheus' text."""
    environment: dict[str, str] = field(default_factory=dict)
    account: Account | None = None
    niceness: int = 0
    """How much it stands back where processors are short, as `nice` counts: 0 not at all, 19 wholly."""
    after: tuple[str, ...] = ()
    """Names of programs that must be ready before this one starts for the first time."""
    prepare: Callable[[], None] | None = None
    """Done before each start; may block, and must be safe to repeat."""
    probe: Probe | None = None
    """None: running is ready."""
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGKILL
    """Sent by the kernel when the supervisor is gone: what it held in hand is another's after its lease."""
    stop_rank: int = 0
    """Programs stop in this order, equal ranks together."""
    stop_patience: timedelta = timedelta(seconds=10)
    longest_pause: timedelta = timedelta(seconds=30)
    """Between two starts of a program that ends again and again."""


def spawn_command(program: Program, *, parent: int) -> tuple[str, ...]:
    """Return the program's command on its leash: it ends when `parent` does."""
    keep = str(launcher.KEEP)
    uid, gid = (str(program.account.uid), str(program.account.gid)) if program.account else (keep, keep)
    return (
        # -I -S: neither site-packages nor the current directory; 15 ms in all.
        sys.executable, "-I", "-S", str(Path(launcher.__file__)),
        str(parent), str(int(program.orphan_signal)), uid, gid, str(program.niceness), *program.command,
    )  # fmt: skip


def log_path(home: Path, role: str) -> Path:
    """Return where the output of a role's processes goes."""
    return home / "logs" / f"{role}.log"


def log_tail(home: Path, role: str, *, lines: int) -> list[str]:
    """Return the last lines of a role's output; nothing where it has none."""
    try:
        with log_path(home, role).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:  # there is none, or no file can be opened now: what it says is a help, no condition
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


@contextmanager
def open_log(home: Path, role: str) -> Iterator[BinaryIO]:
    """Open the log of a role to add to it; one that has grown large is put aside, in place of the one before."""
    path = log_path(home, role)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        yield file


def run_quietly(command: tuple[str, ...], *, account: Account | None = None, text: str = "") -> None:
    """Run a short command to its end; raises RuntimeError with its last words where it fails."""
    done = subprocess.run(  # noqa: S603  our own servers' programs
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
        raise RuntimeError(f"{Path(command[0]).name}: {words[-1] if words else f'exit {done.returncode}'}")
