"""Where keys are required; each route's policy is tested in test_guard.py, requests in acceptance/test_keys.py."""

import pytest

from api.edge.auth import KeysNeeded, keys_required
from shared.domain.api_keys import Role, as_owner
from shared.domain.hosts import is_loopback
from shared.settings import Auth


def test_each_role_includes_the_permissions_of_those_before_it() -> None:
    assert [[role.may(needed) for needed in Role] for role in Role] == [
        [True, False, False], [True, True, False], [True, True, True],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "host", "required"),
    [
        (None, "127.0.0.1", False), (None, "::1", False), (None, "localhost", False), (None, "0.0.0.0", True),  # noqa: S104
        (None, "::", True), (None, "example.com", True), (None, "", True), (None, "127.0.0.1.evil.example", True),
        (True, "127.0.0.1", True), (True, "0.0.0.0", True), (False, "127.0.0.1", False), (False, "", False),  # noqa: S104
    ],
)  # fmt: skip
def test_keys_are_required_everywhere_but_on_loopback(*, setting: bool | None, host: str, required: bool) -> None:
    assert keys_required(Auth(required=setting), host=host) is required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "box.example"])  # noqa: S104
def test_without_keys_the_gateway_listens_only_on_loopback(host: str) -> None:
    with pytest.raises(KeysNeeded, match=f"listen on {host}"):
        keys_required(Auth(required=False), host=host)


def test_loopback_is_more_than_one_address() -> None:
    assert all(map(is_loopback, ("127.8.9.1", "::1", "[::1]", "LOCALHOST", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("", "10.0.0.1", "localhost.evil", "evil", "2130706433", "::")))


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a:b", "-a", "a" * 64, "ä", "a/b", "a\n"])
def test_an_owner_s_name_fits_into_keys_and_paths(name: str) -> None:
    with pytest.raises(ValueError, match="a name has"):
        as_owner(name)
    assert as_owner("a.b_c-9") == "a.b_c-9"
