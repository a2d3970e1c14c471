"""API keys: their form, their digest, which is all that is stored, and what each role may do."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.domain.identifiers import ANYONE, KeyId, Owner
from shared.domain.key_limits import UNLIMITED, Limits

PREFIX: Final = "dk_"
SLOWEST: Final = 0.001
"""The smallest rate of a key, in images a second: one in 17 minutes."""
FASTEST: Final = 100_000.0
"""The largest rate of a key, in images a second."""
MOST_UNFINISHED: Final = 2**31 - 1
"""The largest limit of unfinished images that the table holds."""
_BYTES: Final = 32
_SHOWN: Final = len(PREFIX) + 6
_OWNER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    """What a key may do. Each role may also do what the roles before it may."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Tell whether this role includes the `needed` one."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request: the owner whose data it is about, its role, and its limits."""

    owner: Owner
    role: Role
    limits: Limits = UNLIMITED
    shown: str = ""
    """The first characters of its key; empty without one."""


ANYBODY: Final = Caller(owner=ANYONE, role=Role.ADMIN)
"""The caller of every request where no API keys are required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Everything that is known of a key, which is all but the key itself."""

    id: KeyId
    owner: Owner
    shown: str
    """The key's first characters, by which people tell their keys apart."""
    role: Role
    limits: Limits
    created_at: datetime
    revoked_at: datetime | None = None


def new_key() -> str:
    """Return a new key: `dk_` and 32 random bytes in base64url."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def shown_characters(key: str) -> str:
    """Return a key's first characters: enough to tell it apart, far too few to guess it."""
    return key[:_SHOWN]


def key_digest(key: str) -> str:
    """Return a key's SHA-256 in hexadecimal digits, which is stored in place of the key.

    A slow password hash is not needed: a key is 256 random bits, which no dictionary holds.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def as_owner(name: str) -> Owner:
    """Return a name as an owner; raises ValueError, with the rule, where it can't be one."""
    if not _OWNER.fullmatch(name):
        raise ValueError("a name has 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or a digit")
    return Owner(name)
