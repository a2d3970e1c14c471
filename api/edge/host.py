"""The `Host` header: checked, because it becomes part of URLs in answers and is stored with submissions."""

import re
from functools import lru_cache
from typing import Final

from shared.domain.errors import BadRequest

# A DNS name has 253 characters at most; the characters are those of a registered name in RFC 3986.
LONGEST_NAME: Final = 255
_NAME: Final = r"[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}"
_ADDRESS: Final = r"\[[0-9A-Fa-f:.]{2,45}\]"
_HOST: Final = re.compile(rf"(?:{_NAME}|{_ADDRESS})(?::[0-9]{{0,5}})?")
_LONGEST: Final = LONGEST_NAME + len(":65535")


def read_host(headers: list[tuple[bytes, bytes]]) -> str:
    """Return a request's host with its port (RFC 3986, section 3.2.2); empty where there is none.

    Raises BadRequest for an invalid one, and for two: parts of the gateway would read different ones.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts:
        return ""
    if len(hosts) > 1:
        raise BadRequest(detail="the request has more than one Host")
    return check_host(hosts[0])


@lru_cache(maxsize=256)
def check_host(value: bytes) -> str:
    """Return one `Host` as text; raises BadRequest for an invalid one. Cached: clients repeat the same one."""
    host = value.decode("latin-1")
    if len(host) > _LONGEST or (host and not _HOST.fullmatch(host)):
        raise BadRequest(detail=f"Host must be a name of at most {LONGEST_NAME} characters or an address, and a port")
    return host
