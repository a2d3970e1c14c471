"""What `up` checks before it starts anything: what would make every program fail, or wait, is said in one line."""

import os
from pathlib import Path
from typing import Final

from cli.stack import permissions
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared import settings
from shared.descriptors import allow_connections

LEAST_DESCRIPTORS: Final = 1024
"""Open files a process: Redis serves 32 clients fewer, and with its 64 at `ulimit -n 64` nothing becomes ready."""


def check_settings() -> None:
    """Read every setting, as the programs will; raises SettingsError for the first that can't be used."""
    for one in settings.every_class():
        settings.read(one)


def check_limits() -> None:
    """Raise this process's limit of open files, which programs inherit; raises Refused where it stays too low."""
    if (most := allow_connections()) < LEAST_DESCRIPTORS:
        raise Refused(f"Here a process may have {most} files open; Redis and the others need 1,024: ulimit -n 4096")


def make_home(home: Path) -> None:
    """Create the home or close it to others, and try to write there; raises Refused with what to do instead."""
    try:
        str(home).encode()
    except UnicodeEncodeError:
        # MLflow writes paths into URLs, and Postgres' and Redis' clients into theirs.
        raise Refused(
            f"The path {shown(home)} can't be written as UTF-8. Choose another folder with --home, "
            "or a UTF-8 locale: LC_ALL=C.UTF-8"
        ) from None
    try:
        permissions.make_home(home)
        trial = home / "state.json.trial"  # named as Darkroom's own, should it stay: `permissions` goes by names
        trial.touch(mode=0o600)
        trial.unlink()
    except permissions.NotPrivate as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(
            f"Nothing can be written to {shown(home)}: {error.strerror or error}. "
            "Make room or permit it, or choose another folder: --home FOLDER"
        ) from None


def misspelled_settings() -> list[str]:
    """Return a line for each variable that is no setting and resembles one: its value has no effect."""
    return [
        f"{name} is no setting, so it has no effect; {meant} is one."
        for name, meant in settings.misspelled(os.environ).items()
    ]
