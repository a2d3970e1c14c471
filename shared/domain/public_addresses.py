"""Which IP addresses a webhook may call: public ones, and those of networks that the operator allows.

Source: IANA's special-purpose registries (RFC 6890, RFC 8190).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

# IANA's special-purpose registries, copied because `is_global` differs between versions of Python, and public addresses
# that clouds reserve for their own machines. The first network that holds an address names the reason, so narrower
# networks come before wider ones.
_REFUSED_IPV4: Final = tuple(
    (IPv4Network(network), word)
    for network, word in (
        ("0.0.0.0/8", "this network"),  # RFC 791; Linux takes 0.0.0.0 for itself
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "shared"),  # RFC 6598: behind a carrier's NAT
        ("127.0.0.0/8", "loopback"),  # RFC 1122
        ("161.26.0.0/16", "cloud"),  # IBM Cloud: its names, time and packages
        ("166.8.0.0/14", "cloud"),  # IBM Cloud: its services' private ends
        ("168.63.129.16/32", "cloud"),  # Azure: hands out a machine's certificates and settings
        ("169.254.0.0/16", "link-local"),  # RFC 3927; 169.254.169.254 hands out a cloud machine's credentials
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.0/24", "protocol assignment"),  # RFC 6890
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("192.88.99.0/24", "6to4"),  # RFC 7526
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544
        ("198.51.100.0/24", "documentation"),  # RFC 5737
        ("203.0.113.0/24", "documentation"),  # RFC 5737
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("255.255.255.255/32", "broadcast"),  # RFC 919
        ("240.0.0.0/4", "reserved"),  # RFC 1112
    )
)
_REFUSED_IPV6: Final = tuple(
    (IPv6Network(network), word)
    for network, word in (
        ("::/128", "unspecified"),  # RFC 4291
        ("::1/128", "loopback"),  # RFC 4291
        ("::/96", "IPv4-compatible"),  # RFC 4291, deprecated
        ("64:ff9b:1::/48", "NAT64"),  # RFC 8215: each network translates it as it likes
        ("100::/64", "discard"),  # RFC 6666
        ("2001::/32", "Teredo"),  # RFC 4380: an IPv4 address within
        ("2001::/23", "protocol assignment"),  # RFC 2928; ORCHID among them (RFC 7343)
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("2002::/16", "6to4"),  # RFC 3056: an IPv4 address within
        ("3fff::/20", "documentation"),  # RFC 9637
        ("5f00::/16", "segment routing"),  # RFC 9602
        ("fc00::/7", "private"),  # RFC 4193; fd00:ec2::254 is fd's 169.254.169.254
        ("fe80::/10", "link-local"),  # RFC 4291
        ("fec0::/10", "site-local"),  # RFC 3879, deprecated
        ("ff00::/8", "multicast"),  # RFC 4291
    )
)
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")  # RFC 4291: all that IANA gives out; the rest is reserved
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""First 32 bits of an interface identifier that holds an IPv4 address, in any network (RFC 5214, section 6.1)."""
_HOLDING_IPV4: Final = (
    IPv6Network("::ffff:0:0/96"),  # RFC 4291, IPv4-mapped: the kernel connects to the IPv4 address
    IPv6Network("64:ff9b::/96"),  # RFC 6052, NAT64: a gateway connects to the IPv4 address
)


def refusal_reason(address: str, *, allowed: Sequence[Network]) -> str | None:
    """Return in a word or two why this address must not be called ("private", "loopback", …); None where it may be.

    Addresses in `allowed` networks may always be called. An address that holds an IPv4 address (IPv4-mapped, NAT64) is
    judged by that one. Scoped addresses (RFC 4007) and text that is no address are always refused. Raises nothing.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "no IP address"
    if isinstance(parsed, IPv4Address):
        return _judge_ipv4(parsed, allowed)
    if parsed.scope_id is not None:
        return "scoped"
    return _judge_ipv6(parsed, allowed)


def _judge_ipv4(address: IPv4Address, allowed: Sequence[Network]) -> str | None:
    if any(address in network for network in allowed):
        return None
    return next((word for network, word in _REFUSED_IPV4 if address in network), None)


def _judge_ipv6(address: IPv6Address, allowed: Sequence[Network]) -> str | None:
    if any(address in network for network in allowed):
        return None
    if any(address in network for network in _HOLDING_IPV4):
        return _judge_ipv4(IPv4Address(int(address) & 0xFFFF_FFFF), allowed)
    word = next((word for network, word in _REFUSED_IPV6 if address in network), None)
    if word is None and int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        word = "ISATAP"
    return word or (None if address in _PUBLIC_IPV6 else "reserved")
