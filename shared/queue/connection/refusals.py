"""ONE table: what a Redis that is there may refuse with. None of it is the caller's fault, nor a fault of ours.

A refused command wrote nothing: Redis decides before a command, and in a script before its first write, which then
holds for all of it. So whatever was refused may be sent again. Any other error is ours: it stays a ResponseError.
"""

import re
from typing import Any, Final, NamedTuple

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError


class Refusal(NamedTuple):
    """Why Redis refuses: `words` go behind "redis". `reconnect`: only a new connection can find it otherwise."""

    words: str
    reconnect: bool = False


# The name is resolved again when a client connects: it leads to the new primary after a failover.
_MOVED: Final = {"reconnect": True}

REFUSALS: Final = {
    "READONLY": Refusal("is a read-only replica", **_MOVED),
    "MASTERDOWN": Refusal("is a replica that has lost its primary", **_MOVED),
    "UNBLOCKED": Refusal("has just become a replica", **_MOVED),
    "MOVED": Refusal("is a node of a cluster that keeps other keys", **_MOVED),
    "ASK": Refusal("is a node of a cluster that is handing its keys over", **_MOVED),
    "CLUSTERDOWN": Refusal("is a node of a cluster that is down", **_MOVED),
    "TRYAGAIN": Refusal("is a node of a cluster that is being rearranged"),
    "LOADING": Refusal("is still loading its data"),
    "BUSY": Refusal("is busy with a script that runs on"),
    "MISCONF": Refusal("can't write to its disk"),
    "NOREPLICAS": Refusal("has too few replicas to take writes"),
    # A connection is who it was when it was made: a new one sends the password that holds now.
    "NOAUTH": Refusal("asks for a password", reconnect=True),
    "WRONGPASS": Refusal("does not take this user name and password", reconnect=True),
    "NOPERM": Refusal("does not allow this user its commands", reconnect=True),
    "DENIED": Refusal("takes no connections from other machines", reconnect=True),
    "MAXCLIENTS": Refusal("has as many clients as it allows", reconnect=True),
    "NOSCRIPT": Refusal("forgets the scripts that it is given"),
}
"""By the word that Redis' error begins with, or, of those that begin with ERR, a word of ours.

NOSCRIPT alone is no refusal: scripts are loaded again, and only one that is unknown then too is.
"""

# The client library takes the first word off these errors.
_CLASSES: Final[dict[type[RedisError], str]] = {
    ReadOnlyError: "READONLY",
    MasterDownError: "MASTERDOWN",
    MovedError: "MOVED",
    AskError: "ASK",
    ClusterDownError: "CLUSTERDOWN",
    TryAgainError: "TRYAGAIN",
    BusyLoadingError: "LOADING",
    AuthenticationError: "NOAUTH",
    NoPermissionError: "NOPERM",
}
_SENTENCES: Final = {
    "max number of clients reached": "MAXCLIENTS",
    # Redis 7 refuses what is long before it looks who sends it.
    "Protocol error: unauthenticated": "NOAUTH",
}
# At the beginning; from a script before Redis 7 only behind its line; from a transaction behind its own word.
_WORD: Final = re.compile(r"(?:^|user_script: ?\d+: -|because of: -?)([A-Z]+) ")


class RedisRefuses(RedisConnectionError):
    """Redis is there and refuses; `code` is one of REFUSALS. Clients treat it as a connection that was lost."""

    def __init__(self, code: str) -> None:
        super().__init__(f"redis {describe(code)}")
        self.code = code


def describe(code: str) -> str:
    """Return a refusal in words, with Redis' own word for it."""
    return f"{REFUSALS[code].words} ({code})"


def code_of(error: BaseException | None) -> str | None:
    """Return which refusal an error is; None where it is an outage, or a fault of ours."""
    if isinstance(error, RedisRefuses):
        return error.code
    if isinstance(error, NoScriptError) or not isinstance(error, ResponseError | RedisConnectionError):
        return None
    status, text = getattr(error, "status_code", None), str(error)
    found = [str(status)] if status in REFUSALS else []
    found += [code for kind, code in _CLASSES.items() if isinstance(error, kind)]
    found += [code for sentence, code in _SENTENCES.items() if sentence in text]
    if isinstance(error, ResponseError):
        found += [word for word in _WORD.findall(text) if word in REFUSALS]
    # Of a refusal while it connects the client library makes a lost connection.
    return found[0] if found else code_of(error.__cause__)


def named(error: Exception) -> Exception:
    """Return an error as what it is: RedisRefuses, OutOfMemoryError, or itself."""
    if code := code_of(error):
        return RedisRefuses(code)
    # Before version 7 Redis says so only inside a script's error.
    if isinstance(error, ResponseError) and "OOM" in _WORD.findall(str(error)):
        return OutOfMemoryError(str(error))
    return error


class Naming:
    """For a class of the client library's connections: raises errors as `named` names them."""

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return the next reply."""
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]  # the connection class beside it
        except (ResponseError, RedisConnectionError) as error:
            name = named(error)
            if name is error:
                raise
            raise name from error


def naming(connection_class: type) -> type:
    """Return the connection class with errors named; one that has them is returned as it is."""
    if issubclass(connection_class, Naming):
        return connection_class
    # Where connecting fails, the library's own count of errors asks every connection for them, and a Unix socket's has
    # none. A TCP connection's `host` is a property of its class.
    missing = {name: usual for name, usual in (("host", ""), ("port", 0)) if not hasattr(connection_class, name)}
    return type(connection_class.__name__, (Naming, connection_class), missing)
