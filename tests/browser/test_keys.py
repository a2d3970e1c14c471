"""The page Keys: make one and copy it once, its limits and use, revoke one, and one's own."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway

Open = Callable[[str], Console]


def signed_in(console: Console, key: str, path: str = "#/keys") -> Page:
    console.expect(r"status of 401")
    page = console.open(path)
    console.sign_in(key)
    return page


def test_without_keys_the_page_says_how_to_make_the_first(console: Console) -> None:
    page = console.open("#/keys")
    expect(page.get_by_text("No keys yet")).to_be_visible()
    expect(page.get_by_role("button", name="Make a key")).to_have_count(0)
    console.look("keys-none")


def test_an_admin_makes_a_key_copies_it_once_and_revokes_it(open_console: Open, closed: ClosedGateway) -> None:
    console = open_console(closed.url)
    page = signed_in(console, closed.key("kate", "--role", "admin", "--rate", "20/s", "--max-inflight", "500"))
    expect(page.get_by_text("this session’s")).to_be_visible()
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Images a second").fill("2.5")
    console.look("keys-make")
    page.get_by_role("button", name="Make the key").click()
    made = page.locator(".new-key code").inner_text()
    assert re.fullmatch(r"dk_[\w-]{43}", made)
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_text(made)).to_have_count(0)
    expect(page.get_by_text("(2.5/s)")).to_be_visible()
    with closed.client(made) as client:
        assert client.get("/v1/account").json()["role"] == "submit"
    page.get_by_role("button", name=f"Revoke {made[:9]}…").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    console.look("keys")


def test_revoking_ones_own_key_is_said_and_ends_the_session(open_console: Open, closed: ClosedGateway) -> None:
    console = open_console(closed.url)
    page = signed_in(console, closed.key("kurt", "--role", "admin"))
    page.get_by_role("button", name=re.compile("^Revoke dk_")).click()
    expect(page.get_by_text("This is the key that you are signed in with.")).to_be_visible()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_label("Your API key")).to_be_visible(timeout=30_000)


def test_who_is_no_admin_does_not_see_the_page(open_console: Open, closed: ClosedGateway) -> None:
    page = signed_in(open_console(closed.url), closed.key("rita", "--role", "read"), "#/models")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(page.get_by_role("link", name="Keys")).to_have_count(0)
