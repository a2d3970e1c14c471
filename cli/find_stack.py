"""Where a command's stack is: what is set in the environment, else what runs on its home."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cli.stack.lifecycle import Refused
from cli.stack.supervisor import state
from cli.terminal.names import shown
from shared import settings


def find_home(given: Path | None) -> Path:
    """Return the home a command is about, absolute; raises Refused for a path that leads nowhere."""
    home = given or settings.read(settings.Local).home
    try:
        return home.expanduser().resolve()
    except RuntimeError as error:  # nobody's `~name`, or links in a circle
        raise Refused(f"{shown(home)} is no folder: {error}") from None


def command(words: str, home: Path) -> str:
    """Return a line to paste that runs `darkroom` on this home, by its path where it is not on PATH."""
    program = "darkroom"
    if shutil.which(program) is None:
        program = shlex.quote(os.path.relpath(Path(sys.executable).parent / program))
    return f"{program} {words}{home_option(home)}"


def home_option(home: Path) -> str:
    """Return what to add to a command line so that it means this home too; empty where it does anyway."""
    return "" if home == find_home(None) else f" --home {shlex.quote(str(home))}"


def gateway_url(home: Path) -> str:
    """Return the gateway to talk to; raises Refused where there is none."""
    if url := settings.read(settings.Local).url:
        return _checked(url)
    found = state.running(home)
    if found is None:
        raise Refused(
            f"Nothing runs on {home}. Start it: {command('up', home)}; or say where it does: "
            "export DARKROOM_URL=http://127.0.0.1:8000 for docker compose."
        )
    return found.url


def api_key() -> str:
    """Return the key to send, empty for none; raises Refused for what can't be one, and does not repeat it."""
    key = settings.read(settings.Local).api_key
    if not (key.isascii() and key.isprintable()):
        raise Refused("DARKROOM_API_KEY is no key: it holds other characters than a key has. It begins with dk_.")
    return key


def _checked(url: str) -> str:
    """Return the address that the person has set, without the slash at its end; raises Refused where it is none."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_one = False
    if not is_one:
        raise Refused(f"DARKROOM_URL is no address such as http://127.0.0.1:8000: {shown(url)}")
    return url.rstrip("/")


def store_url(home: Path, setting: str) -> str:
    """Return the address of the store that `setting` names.

    Raises Refused where there is none, SettingsError where it is no address of such a store.
    """
    if url := os.environ.get(setting):
        if setting == "DARKROOM_REDIS_URL":
            settings.read(settings.Redis)
        return url
    found = state.running(home)
    if found is None:
        raise Refused(f"Nothing runs on {home}. Start it: {command('up', home)}; or set {setting}.")
    return found.stores[setting]


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def say(text: str) -> None:
    """Print for people and pipes alike: as it is, no wrapping."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
