"""Create, list and revoke API keys in Postgres; gateways notice within seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.home import command_line
from cli.terminal.lines import first_line, say, say_table
from cli.terminal.names import sent, shown
from cli.terminal.refused import Refused
from shared.domain.api_keys import ApiKey, Role, as_owner
from shared.domain.written_numbers import written
from shared.settings import Database
from shared.storage import api_keys
from shared.storage.engine import make_engine

T = TypeVar("T")


def create(home: Path, name: str, *, role: Role, rate: float | None, max_inflight: int | None) -> None:
    """Create a key and print it: afterwards only its SHA-256 is kept."""
    owner = as_owner(name)
    known, key = _ask(
        home, lambda connection: api_keys.create_key(connection, owner, role=role, rate=rate, max_inflight=max_inflight)
    )
    say(f"{key}\n\nIt is shown this once: {known.owner} {known.role}, {_limits(known)}.")
    say("Use it as `Authorization: Bearer dk_…`, or give it to the darkroom command: export DARKROOM_API_KEY=dk_…")


def list_keys(home: Path) -> None:
    """Print all keys, revoked ones too."""
    every = _ask(home, api_keys.list_keys)
    if not every:
        say(f"There are no keys. Make one: {command_line('keys create NAME', home)}")
        return
    rows = [("key", "name", "role", "limits", "created", "")]
    rows += [
        (
            f"{key.shown}…",
            str(key.owner),
            str(key.role),
            _limits(key),
            f"{key.created_at:%Y-%m-%d}",
            f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
        )
        for key in every
    ]
    say_table(rows)


def revoke(home: Path, named: str) -> None:
    """Revoke a key, named by itself, its beginning as `list` shows it, or its id. Safe to repeat."""
    revoked = _ask(home, lambda connection: api_keys.revoke_keys(connection, sent(named)))
    if not revoked:
        raise Refused(f"No key begins with {shown(named)}. See: {command_line('keys list', home)}")
    for key in revoked:
        say(f"Revoked {key.shown}… of {key.owner}: it stops within 5 s.")


def _limits(key: ApiKey) -> str:
    limits = key.limits
    words = []
    if limits.rate:
        words.append(f"{written(limits.rate)} images/s")
    if limits.max_inflight:
        words.append(f"{limits.max_inflight:,} unfinished")
    return ", ".join(words) or "no limits"


def _ask(home: Path, ask: Callable[[Connection], T]) -> T:
    engine = make_engine(Database(url=store_url(home, "DARKROOM_DATABASE_URL")))
    try:
        with engine.connect() as connection:
            return ask(connection)
    except SQLAlchemyError as error:
        raise Refused(f"The keys can't be reached: {first_line(error)}") from None
    finally:
        engine.dispose()
