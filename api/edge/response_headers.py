"""Headers that every answer has, also those that the server itself writes."""

from typing import Final

Header = tuple[bytes, bytes]

SECURITY: Final[tuple[Header, ...]] = (
    # Browsers must not guess another type.
    (b"x-content-type-options", b"nosniff"),
    # URLs of streams carry tokens, which must not reach other sites.
    (b"referrer-policy", b"no-referrer"),
)
RESOURCE_POLICY: Final = "Cross-Origin-Resource-Policy"
# Except for pages of allowed origins.
OWN_PAGES: Final[Header] = (RESOURCE_POLICY.lower().encode(), b"same-origin")
# Except for pages with a policy of their own: nothing in an answer may run, load or be framed.
POLICY: Final[Header] = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# Except where the answer says otherwise: what it holds depends on the key.
NOT_KEPT: Final[Header] = (b"cache-control", b"no-store")
CLOSE: Final[Header] = (b"connection", b"close")


def complete(headers: list[Header], *, closing: bool) -> list[Header]:
    """Return an answer's headers with those that all answers have; `closing`: the connection ends with it."""
    names = [name for name, _ in headers]
    completed = [*headers, *SECURITY]
    if OWN_PAGES[0] not in names:
        completed.append(OWN_PAGES)
    if POLICY[0] not in names:
        completed.append(POLICY)
    if NOT_KEPT[0] not in names:
        completed.append(NOT_KEPT)
    if closing:
        completed.append(CLOSE)
    return completed
