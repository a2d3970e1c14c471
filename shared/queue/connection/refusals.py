"""The one table of refusals: errors by which a reachable Redis says that it can't serve now. None is a bug.

A refused command wrote nothing: Redis decides before a command runs, and in a script at its first write. So every
refused command may be sent again. Any other error is a bug of ours and stays a ResponseError.
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
    """Why Redis refuses; `words` follow "redis". `reconnect`: only a new connection can get another answer."""

    words: str
    reconnect: bool = False


# Connecting resolves the host's name again, which leads to the new primary after a failover.
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
    # A connection keeps the user that it began with; a new one sends the password that is valid now.
    "NOAUTH": Refusal("asks for a password", reconnect=True),
    "WRONGPASS": Refusal("does not take this user name and password", reconnect=True),
    "NOPERM": Refusal("does not allow this user its commands", reconnect=True),
    "DENIED": Refusal("takes no connections from other machines", reconnect=True),
    "MAXCLIENTS": Refusal("has as many clients as it allows", reconnect=True),
    "NOSCRIPT": Refusal("forgets the scripts that it is given"),
}
"""By the first word of Redis' error, or a word of ours where that is ERR.

A first NOSCRIPT is no refusal: the scripts are loaded and the command repeated. It is one if it comes again then.
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
    # Redis 7 refuses long commands of clients that have not authenticated with this error.
    "Protocol error: unauthenticated": "NOAUTH",
}
# The code comes first in the text; before Redis 7 a script's comes after its line, a transaction's after EXECABORT.
_WORD: Final = re.compile(r"(?:^|user_script: ?\d+: -|because of: -?)([A-Z]+) ")


class RedisRefuses(RedisConnectionError):
    """Redis is reachable and refuses; `code` is one of REFUSALS. Clients treat it like a lost connection."""

    def __init__(self, code: str) -> None:
        super().__init__(f"redis {describe(code)}")
        self.code = code


def describe(code: str) -> str:
    """Return a refusal in words, with its code."""
    return f"{REFUSALS[code].words} ({code})"


def code_of(error: BaseException | None) -> str | None:
    """Return the code of a refusal; None for an outage, or a bug of ours."""
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
    # While connecting, the client library turns a refusal into a lost connection that it causes.
    return found[0] if found else code_of(error.__cause__)


def named(error: Exception) -> Exception:
    """Return the error as RedisRefuses or OutOfMemoryError where it is one, else itself."""
    if code := code_of(error):
        return RedisRefuses(code)
    # Before version 7 it is only named inside a script's error.
    if isinstance(error, ResponseError) and "OOM" in _WORD.findall(str(error)):
        return OutOfMemoryError(str(error))
    return error


class Naming:
    """Mixed into the client library's connection classes: raises errors as `named` returns them."""

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
    """Return the connection class with Naming mixed in; one that has it already is returned unchanged."""
    if issubclass(connection_class, Naming):
        return connection_class
    # When connecting fails, the library's error metrics read `host` and `port` of every connection; a Unix socket's has
    # neither. A TCP connection's `host` is a property of its class.
    missing = {name: usual for name, usual in (("host", ""), ("port", 0)) if not hasattr(connection_class, name)}
    return type(connection_class.__name__, (Naming, connection_class), missing)
