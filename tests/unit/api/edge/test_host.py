"""Which `Host` headers are accepted."""

import pytest

from api.edge.host import read_host
from shared.domain.errors import BadRequest

LONGEST = "a" * 255


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000", "a_b",
        "xn--bcher-kva.example", "[::ffff:10.0.0.1]:1", "host:", LONGEST, f"{LONGEST}:65535",
    ],
)  # fmt: skip
def test_a_name_or_address_with_or_without_a_port_is_accepted(host: str) -> None:
    assert read_host([(b"accept", b"*/*"), (b"host", host.encode("latin-1"))]) == host


@pytest.mark.parametrize(
    "host",
    [
        "a" * 256, f"{LONGEST}a:1", "h" * 30_000, "a b", "a/b", "a?b", "a#b", "user@host", "a\tb", "a\n",
        "bücher.example", "a:b", "a:1:2", "[::1", "::1", "[::1]x", "[g]", "a:123456", "<script>", '"', "a\\b",
    ],
)  # fmt: skip
def test_anything_else_is_refused(host: str) -> None:
    with pytest.raises(BadRequest, match="Host must be"):
        read_host([(b"host", host.encode("latin-1"))])


def test_a_missing_host_is_none_and_two_are_refused() -> None:
    assert read_host([(b"accept", b"*/*")]) == ""
    with pytest.raises(BadRequest, match="more than one Host"):
        read_host([(b"host", b"a"), (b"host", b"a")])
