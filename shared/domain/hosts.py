"""Hosts as they stand in `Host` headers and settings, and which of them are this machine's loopback.

A server without login listens on loopback alone, where only this machine reaches it.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Tell whether a host, an address or a name, is this machine's loopback."""
    if host.lower() in _NAMES:
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def host_name(host: str) -> str:
    """Return the host of a `Host` header without its port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
