"""Tells what the registry refuses, which no repetition changes, from a registry that does not answer."""

from typing import Final

_REPEATABLE: Final = frozenset({401, 403, 404, 407, 408, 425, 429})
"""HTTP statuses that speak of the worker's login, of a proxy between, or of too many requests. A proxy says 404 too."""


def is_refusal(error: BaseException) -> bool:
    """Tell whether MLflow answered that it can't do what it was asked: a name or value that it does not take."""
    status_of = getattr(error, "get_http_status_code", None)
    status = status_of() if callable(status_of) else 0
    if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":  # a version deleted since the plan was made
        return True
    return 400 <= status < 500 and status not in _REPEATABLE  # noqa: PLR2004  the client's errors
