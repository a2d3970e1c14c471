"""The page Webhooks: deliveries by state, the attempts of one, deliver again, the secret."""

import random
import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.support.api_client import Door
from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.receivers import Came, receiving


def refuse_first(_: Came, before: int) -> tuple[int, dict[str, str], bytes]:
    return (410, {}, b"it moved away") if before == 0 else (204, {}, b"")


def submitted(door: Door, url: str) -> str:
    """Submit a picture whose completion is told of; return the prediction's id."""
    image = picture(random.randrange(1 << 24))
    return door.accepted(image, model="classification", webhook=url, webhook_events_filter="completed")


def test_a_delivery_that_was_given_up_is_read_and_delivered_again(console: Console, door: Door) -> None:
    with receiving(refuse_first) as receiver:
        id = submitted(door, receiver.url)
        receiver.wait_for(1)
        page = console.open(f"#/webhooks?subject={id}")
        row = page.get_by_role("main").get_by_role("listitem").filter(has_text="completed")
        expect(row.get_by_text("exhausted", exact=True)).to_be_visible(timeout=20_000)
        console.look("webhooks")
        row.get_by_role("link").click()
        dialog = page.get_by_role("dialog", name="Webhook delivery")
        expect(dialog.get_by_text("it moved away")).to_be_visible()
        console.look("webhook-delivery")
        dialog.get_by_role("button", name="Deliver again").click()
        expect(dialog.get_by_text("delivered", exact=True).first).to_be_visible(timeout=20_000)
        receiver.wait_for(2)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(row.get_by_text("delivered", exact=True)).to_be_visible()


def test_deliveries_are_filtered_by_state_and_none_says_so(console: Console, door: Door) -> None:
    with receiving() as receiver:
        id = submitted(door, receiver.url)
        receiver.wait_for(1)
        page = console.open(f"#/webhooks?subject={id}")
        page.get_by_role("button", name="Given up").click()
        expect(page).to_have_url(re.compile("status=exhausted"))
        expect(page.get_by_role("heading", name="No delivery is like this")).to_be_visible()
        page.get_by_role("button", name="Delivered").click()
        expect(page.get_by_text("delivered", exact=True)).to_be_visible()


def test_an_admin_reads_and_changes_the_secret_of_its_own_owner(
    open_console: Callable[[str], Console], closed: ClosedGateway
) -> None:
    console = open_console(closed.url)
    console.expect(r"status of 401")
    page = console.open("#/webhooks")
    console.sign_in(closed.key("eve", "--role", "admin"))
    expect(page.get_by_role("heading", name="No webhook was sent yet")).to_be_visible()
    console.look("webhooks-empty")

    def secret() -> str:
        page.get_by_role("button", name="Signing secret").click()
        shown = page.get_by_role("dialog", name="Signing secret").locator("code").inner_text()
        page.keyboard.press("Escape")
        return shown

    before = secret()
    assert before.startswith("whsec_")
    page.get_by_role("button", name="Change the secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Change it").click()
    dialog = page.get_by_role("dialog", name="Signing secret")
    expect(dialog.locator("code")).to_contain_text("whsec_")
    assert dialog.locator("code").inner_text() != before


def test_a_key_that_may_only_read_sees_no_secret(open_console: Callable[[str], Console], closed: ClosedGateway) -> None:
    console = open_console(closed.url)
    console.expect(r"status of 401")
    page = console.open("#/webhooks")
    console.sign_in(closed.key("fay", "--role", "read"))
    expect(page.get_by_role("heading", name="Webhooks", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Signing secret")).to_have_count(0)
