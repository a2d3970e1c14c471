"""Addresses a command talks to: those set in the environment, else those of the stack that runs on its home."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from cli.home import command_line
from cli.stack.supervisor import state
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared import settings


def gateway_url(home: Path) -> str:
    """Return the gateway to talk to; raises Refused where there is none."""
    if url := settings.read(settings.Local).url:
        return _checked(url)
    found = state.running_stack(home)
    if found is None:
        raise _nothing_runs(home, "for docker compose: export DARKROOM_URL=http://127.0.0.1:8000.")
    return found.url


def api_key() -> str:
    """Return the key to send, empty for none; raises Refused for what can't be one, and does not repeat it."""
    key = settings.read(settings.Local).api_key
    if not (key.isascii() and key.isprintable()):
        raise Refused("DARKROOM_API_KEY is not a key: it has characters that no key has. A key begins with dk_.")
    return key


def store_url(home: Path, setting: str) -> str:
    """Return the address of the store that `setting` names.

    Raises Refused where there is none, SettingsError where it is no address of such a store.
    """
    if url := os.environ.get(setting):
        if setting == "DARKROOM_REDIS_URL":
            settings.read(settings.Redis)
        return url
    found = state.running_stack(home)
    if found is None:
        raise _nothing_runs(home, f"set {setting}.")
    return found.stores[setting]


def _nothing_runs(home: Path, otherwise: str) -> Refused:
    """Return what helps where no stack is found: mostly the command was typed in another folder than `up`."""
    start = command_line("up", home)
    return Refused(
        f"Nothing runs on {home}. Start it: {start}; or name the folder of one that runs: --home; or {otherwise}"
    )


def _checked(url: str) -> str:
    """Return the address that the person has set, without the slash at its end; raises Refused where it is none."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_one = False
    if not is_one:
        raise Refused(f"DARKROOM_URL is not an address such as http://127.0.0.1:8000: {shown(url)}")
    return url.rstrip("/")
