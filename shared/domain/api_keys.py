"""API keys: what they look like, what is kept of them, what each role may do."""

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
_BYTES: Final = 32
_SHOWN: Final = len(PREFIX) + 6
_OWNER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    """What a key may do; each may what those before it may."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Tell whether this role is enough where `needed` is."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request: whose things it is about, what it may do, and how much."""

    owner: Owner
    role: Role
    limits: Limits = UNLIMITED


ANYBODY: Final = Caller(owner=ANYONE, role=Role.ADMIN)
"""Everybody, where no keys are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key, which is everything but the key itself."""

    id: KeyId
    owner: Owner
    shown: str
    """How the key begins, for people to tell theirs apart."""
    role: Role
    limits: Limits
    created_at: datetime
    revoked_at: datetime | None = None


def new_key() -> str:
    """Return `dk_` and 32 bytes by chance, base64url."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def shown_part(key: str) -> str:
    """Return how a key begins: enough to tell it apart, far too little to guess it."""
    return key[:_SHOWN]


def digest(key: str) -> str:
    """Return what is kept in a key's place: its SHA-256, in hexadecimal digits.

    A key is 256 bits by chance, so nothing slower is needed: there is no dictionary to try.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def check_owner(name: str) -> Owner:
    """Return a name as an owner; raises ValueError where it can't be one."""
    if not _OWNER.fullmatch(name):
        raise ValueError("a name has 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or a digit")
    return Owner(name)
