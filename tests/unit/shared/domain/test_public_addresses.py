"""Every special-purpose range from edge to edge, and the public addresses beside it."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.public_addresses import Network, refusal_reason

REFUSED = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("161.26.0.0/16", "cloud"),
    ("166.8.0.0/14", "cloud"),
    ("168.63.129.16/32", "cloud"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignment"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/5", "reserved"),
    ("255.255.255.254/32", "reserved"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::2/128", "IPv4-compatible"),
    ("::808:808/128", "IPv4-compatible"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("2001::/32", "Teredo"),
    ("2001:1::/32", "protocol assignment"),
    ("2001:20::/28", "protocol assignment"),
    ("2001:1ff::/32", "protocol assignment"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    # Unassigned: outside of 2000::/3, in no registry.
    ("::ffff:0:0:0/96", "reserved"),
    ("1::/16", "reserved"),
    ("1fff::/16", "reserved"),
    ("4000::/3", "reserved"),
    ("fe00::/9", "reserved"),
]
# Metadata services of cloud providers.
METADATA = [
    *("169.254.169.254", "169.254.170.2", "169.254.0.23", "169.254.42.42"),  # nearly all
    "168.63.129.16",  # Azure
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle
    *("161.26.0.10", "166.9.24.90"),  # IBM
    *("fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe"),  # AWS, Google, Scaleway, OpenStack
]
# Embeds an IPv4 address, which a translator on the way may call instead.
WRAPPED = {
    "::ffff:{}": "mapped", "64:ff9b::{}": "NAT64", "64:ff9b:1::{}": "NAT64 of one's own", "::{}": "compatible",
    "::ffff:0:{}": "translated", "2002:{hex}::1": "6to4", "2001:0:{hex}::1": "Teredo's server",
    "2606:4700::5efe:{}": "ISATAP", "2606:4700::200:5efe:{}": "ISATAP of a public address", "fe80::5efe:{}": "ISATAP",
}  # fmt: skip
CALLABLE = [
    *("1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"),
    *("161.25.255.255", "161.27.0.0", "166.7.255.255", "166.12.0.0", "168.63.129.15", "168.63.129.17"),
    *("191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0"),
    *("198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"),
    "223.255.255.255",
    *("2000::", "2001:200::", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::", "2003::", "2606:4700::1111"),
    *("3ffe::1", "3fff:1000::", "2606:4700::5eff:102:304", "2606:4700:0:5efe::1", "2606:4700::100:5efe:102:304"),
]
IPV4 = [address for address in CALLABLE if "." in address]
FORMS = ["::ffff:", "0:0:0:0:0:FFFF:", "64:ff9b::"]


def networks(*texts: str) -> list[Network]:
    return [ip_network(text) for text in texts]


@pytest.mark.parametrize(("network", "word"), REFUSED)
def test_a_special_range_is_refused_from_edge_to_edge_with_its_reason(network: str, word: str) -> None:
    whole = ip_network(network)
    for address in (whole[0], whole[whole.num_addresses // 2], whole[-1]):
        assert refusal_reason(str(address), allowed=()) == word


@pytest.mark.parametrize("address", METADATA)
def test_addresses_of_cloud_metadata_services_are_refused(address: str) -> None:
    assert refusal_reason(address, allowed=()) is not None


@pytest.mark.parametrize("form", WRAPPED, ids=WRAPPED.get)
@pytest.mark.parametrize("address", [one for one in METADATA if "." in one] + ["127.0.0.1", "10.0.0.1", "0.0.0.0"])  # noqa: S104
def test_a_private_ipv4_address_is_refused_however_ipv6_embeds_it(form: str, address: str) -> None:
    halves = f"{int(IPv4Address(address)) >> 16:x}:{int(IPv4Address(address)) & 0xFFFF:x}"
    assert refusal_reason(form.format(address, hex=halves), allowed=()) is not None


@pytest.mark.parametrize("address", CALLABLE)
def test_a_public_address_is_allowed(address: str) -> None:
    assert refusal_reason(address, allowed=()) is None


@pytest.mark.parametrize("form", FORMS)
def test_an_ipv4_address_embedded_in_ipv6_is_judged_as_ipv4(form: str) -> None:
    for address in IPV4:
        assert refusal_reason(form + address, allowed=()) is None
    for network, word in REFUSED:
        if "." in network:
            assert refusal_reason(form + str(ip_network(network)[0]), allowed=()) == word


@given(st.ip_addresses(v=4), st.sampled_from(FORMS))
def test_every_ipv4_address_is_judged_the_same_in_ipv6(address: IPv4Address, form: str) -> None:
    assert refusal_reason(form + str(address), allowed=()) == refusal_reason(str(address), allowed=())


@given(st.ip_addresses(v=6))
def test_only_ipv6_addresses_in_2000_3_or_with_embedded_ipv4_are_allowed(address: IPv6Address) -> None:
    may_be = [IPv6Network(network) for network in ("2000::/3", "::ffff:0:0/96", "64:ff9b::/96")]
    assert refusal_reason(str(address), allowed=()) is not None or any(address in network for network in may_be)


@pytest.mark.parametrize(
    "address",
    [*("", " ", "localhost", "127.1", "0x7f000001", "2130706433", "010.0.0.1", "1.1.1.1/32", "[::1]", "1.1.1"),
     *("1.1.1.1 ", "1.1.1.256", "::ffff:1.1.1", "１.1.1.1", "1.1.1.1\n", "1.1.1.1%eth0")],
)  # fmt: skip
def test_text_that_is_no_address_is_refused_even_if_everything_is_allowed(address: str) -> None:
    assert refusal_reason(address, allowed=networks("0.0.0.0/0", "::/0")) == "no IP address"


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%1", "::1%lo", "2606:4700::1111%eth0", "::ffff:1.1.1.1%1"])
def test_a_scoped_address_is_refused_even_if_everything_is_allowed(address: str) -> None:
    assert refusal_reason(address, allowed=networks("::/0")) == "scoped"


def test_addresses_in_an_allowed_network_are_allowed_and_no_others() -> None:
    allowed = networks("10.1.0.0/16", "127.0.0.1/32", "fd12::/16", "::1/128")
    for address in ("10.1.0.0", "10.1.255.255", "127.0.0.1", "fd12::1", "::1", "1.1.1.1", "2606:4700::1111"):
        assert refusal_reason(address, allowed=allowed) is None
    for address in ("10.0.255.255", "10.2.0.0", "127.0.0.2", "fd13::1", "::", "192.168.0.1", "fe80::1"):
        assert refusal_reason(address, allowed=allowed) is not None


@pytest.mark.parametrize("form", FORMS)
def test_an_allowed_ipv4_network_is_allowed_in_ipv6_too(form: str) -> None:
    allowed = networks("10.1.0.0/16")
    assert refusal_reason(f"{form}10.1.2.3", allowed=allowed) is None
    assert refusal_reason(f"{form}10.2.2.3", allowed=allowed) == "private"


def test_an_allowed_ipv6_network_allows_embedded_ipv4_in_that_form_only() -> None:
    allowed = networks("::ffff:10.1.0.0/112")
    assert refusal_reason("::ffff:10.1.2.3", allowed=allowed) is None
    assert refusal_reason("10.1.2.3", allowed=allowed) == "private"
    assert refusal_reason("64:ff9b::10.1.2.3", allowed=allowed) == "private"
