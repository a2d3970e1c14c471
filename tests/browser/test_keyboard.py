"""Webhooks, Keys and the sign-in by keyboard alone, and as a screen reader's tree has them."""

import random
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.pictures import renewed
from tests.support.receivers import receiving

CONTROLS = "button|link|textbox|searchbox|combobox|checkbox|radio|spinbutton|slider|tab|switch|dialog|meter"
UNNAMED = re.compile(rf'^\s*- ({CONTROLS})(?! ")', re.MULTILINE)
MOST_STEPS = 60


def press_until(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Press a key until the focus is where it is wanted."""
    for _ in range(MOST_STEPS):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press(key)
    expect(wanted).to_be_focused()


def check(console: Console, name: str) -> None:
    """Check that every control has a name, and axe in light, dark and on phones."""
    tree = console.page.locator("body").aria_snapshot()
    assert not UNNAMED.findall(tree), tree
    console.look(name)


@pytest.fixture
def admin(closed: ClosedGateway) -> str:
    """An admin's key of an owner of its own."""
    return closed.key(f"kim-{random.randrange(1 << 24)}", "--role", "admin")


def sign_in(console: Console, key: str, where: str) -> Page:
    """Sign in by keyboard."""
    console.expect("status of 401")
    page = console.open(where)
    expect(page.get_by_label("Your API key")).to_be_focused()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    return page


def test_one_signs_in_and_out_by_keyboard(
    open_console: Callable[[str], Console], closed: ClosedGateway, admin: str
) -> None:
    console = open_console(closed.url)
    console.expect("status of 401")
    page = console.open("#/keys")
    check(console, "keyboard-sign-in")
    field = page.get_by_label("Your API key")
    expect(field).to_be_focused()
    page.keyboard.insert_text("dk_wrong")
    page.keyboard.press("Enter")
    # It is announced, belongs to the field, and the field has the focus with what was typed selected.
    expect(page.get_by_role("alert")).to_contain_text("this API key is unknown or was revoked")
    expect(field).to_be_focused()
    assert "key-words" in (field.get_attribute("aria-describedby") or "")
    expect(field).to_have_attribute("aria-invalid", "true")
    page.keyboard.insert_text(admin)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()
    press_until(page, page.get_by_role("button", name="Sign out"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(field).to_be_focused()


def test_a_key_is_made_and_revoked_by_keyboard(
    open_console: Callable[[str], Console], closed: ClosedGateway, admin: str
) -> None:
    console = open_console(closed.url)
    page = sign_in(console, admin, "#/keys")
    make = page.get_by_role("button", name="Make a key")
    press_until(page, make)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Make a key")
    expect(dialog).to_be_visible()
    check(console, "keyboard-keys-make")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(make).to_be_focused()
    # The dialog's event of closing comes a task after its focus is back: a person takes longer.
    page.evaluate("new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    press_until(page, dialog.get_by_label("Images a second"))
    page.keyboard.insert_text("2.5")
    page.keyboard.press("Enter")
    copied = page.get_by_role("button", name="I have copied it")
    expect(copied).to_be_visible()
    press_until(page, copied)
    page.keyboard.press("Enter")
    expect(make).to_be_focused()
    revoke = page.get_by_role("listitem").filter(has_text="2.5/s").get_by_role("button", name=re.compile("^Revoke dk_"))
    press_until(page, revoke)
    page.keyboard.press("Enter")
    press_until(page, page.get_by_role("dialog").get_by_role("button", name="Revoke it"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    # Its own button goes with the key.
    expect(make).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Revoked dk_")).to_be_visible()
    expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    check(console, "keyboard-keys")


def test_deliveries_are_read_by_keyboard(
    open_console: Callable[[str], Console], closed: ClosedGateway, admin: str
) -> None:
    with receiving() as receiver, closed.client(admin) as client:
        told = {"model": "classification", "webhook": receiver.url, "webhook_events_filter": "completed"}
        headers = {"Content-Type": "image/png"}
        client.post("/v1/predictions", params=told, content=renewed(picture(1)), headers=headers).raise_for_status()
        receiver.wait_for(1)
        console = open_console(closed.url)
        page = sign_in(console, admin, "#/webhooks")
        state = page.get_by_role("button", name="Delivered")
        press_until(page, state)
        page.keyboard.press("Space")
        expect(state).to_have_attribute("aria-pressed", "true")
        row = page.locator(".webhooks-row")
        press_until(page, row)
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Webhook delivery")
        expect(dialog.get_by_role("button", name="Deliver again")).to_be_visible()
        check(console, "keyboard-delivery")
        page.keyboard.press("Escape")
        expect(row).to_be_focused()
        secret = page.get_by_role("button", name="Signing secret")
        press_until(page, secret, "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog", name="Signing secret").locator("code")).to_contain_text("whsec_")
        page.keyboard.press("Escape")
        expect(secret).to_be_focused()
        check(console, "keyboard-webhooks")


def test_an_error_in_a_dialog_is_announced(
    open_console: Callable[[str], Console], closed: ClosedGateway, admin: str
) -> None:
    console = open_console(closed.url)
    console.expect("status of 500")
    page = sign_in(console, admin, "#/keys")
    problem = {"title": "Not possible now", "detail": "the stores are away", "status": 500}
    page.route("**/v1/api-keys", lambda route: route.fulfill(status=500, json=problem))
    page.get_by_role("button", name="Make a key").click()
    page.get_by_role("button", name="Make the key").press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("the stores are away")
