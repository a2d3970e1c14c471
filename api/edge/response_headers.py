"""What every answer's head says, whoever made the answer."""

from typing import Final

Header = tuple[bytes, bytes]

SECURITY: Final[tuple[Header, ...]] = (
    # Never anything but what it says it is.
    (b"x-content-type-options", b"nosniff"),
    # URLs of streams carry tokens.
    (b"referrer-policy", b"no-referrer"),
)
RESOURCE_POLICY: Final = "Cross-Origin-Resource-Policy"
# Unless it is for the page of another site that may read it.
OWN_PAGES: Final[Header] = (RESOURCE_POLICY.lower().encode(), b"same-origin")
# Unless a page has its own: nothing in an answer is to run, load or be framed.
POLICY: Final[Header] = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# Unless it says otherwise: whose it is depends on the key.
NOT_KEPT: Final[Header] = (b"cache-control", b"no-store")
CLOSE: Final[Header] = (b"connection", b"close")


def complete(headers: list[Header], *, closing: bool) -> list[Header]:
    """Return an answer's headers with those that all have; `closing` asks the client to connect anew."""
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
