"""The page Now: the status as pictures, live, on the shared stack."""

import random
import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.support.api_client import Door
from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.waiting import until

ROLES = ("api", "predict", "record", "webhooks", "upkeep")


def test_the_page_shows_what_runs_and_how_it_is_doing(console: Console) -> None:
    page = console.open("#/now")
    for role in ROLES:
        card = page.get_by_role("article", name=role, exact=True)
        expect(card.get_by_text("ready", exact=True).first).to_be_visible()
    for store in ("Redis", "Postgres", "Webhooks"):
        expect(page.get_by_role("article", name=store, exact=True)).to_contain_text("ready")
    expect(page.get_by_role("row", name=re.compile("^classification"))).to_be_visible()
    expect(page.locator(".now-plots canvas").first).to_be_visible(timeout=30_000)
    console.look("now")


def test_what_is_submitted_is_shown_without_a_reload(console: Console, door: Door) -> None:
    page = console.open("#/now")
    submitted = page.locator(".now-tile", has_text="Submitted").locator(".now-value")
    expect(submitted).to_contain_text("images/s")
    for _ in range(20):
        door.submit(picture(random.randrange(1 << 24)), model="classification")
    expect(submitted).not_to_have_text(re.compile(r"^0 "), timeout=10_000)


def test_an_alert_says_what_to_do(console: Console) -> None:
    page = console.open("#/now")
    status = {
        "name": "NoWorker", "severity": "page", "subject": "digits", "state": "firing",
        "since": "2026-01-31T12:00:00Z", "summary": "No worker serves digits",
        "what_to_do": "Look at `docker compose ps predict`.",
    }  # fmt: skip
    page.route("**/v1/status", lambda route: route.fulfill(json=route.fetch().json() | {"alerts": [status]}))
    alert = page.get_by_role("listitem").filter(has_text="No worker serves digits")
    expect(alert.locator("code")).to_have_text("docker compose ps predict")
    expect(alert.get_by_text("firing", exact=True)).to_be_visible()
    console.look("now-alert")


def test_plots_are_written_as_large_as_the_page(console: Console) -> None:
    """A canvas does not inherit: its text grows with a wide window, while the page is open."""
    page = console.open("#/now")
    canvas = page.locator(".now-plots canvas").first
    expect(canvas).to_be_visible(timeout=30_000)
    text = "(canvas) => canvas.getContext('2d').font.match(/[0-9.]+(?=px)/)[0] / devicePixelRatio"
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    for name in ("desktop", "wide"):
        console.picture("now-plots", size=name)
        until(
            lambda: abs(canvas.evaluate(text) - 0.8 * page.evaluate(size)) < 0.1,
            what="a plot's text follows the page's",
        )


def test_who_is_no_admin_has_no_page_now(open_console: Callable[[str], Console], closed: ClosedGateway) -> None:
    console = open_console(closed.url)
    console.expect(r"status of 401", r"status of 403")
    page = console.open("#/now")
    console.sign_in(closed.key("dan", "--role", "read"))
    expect(page.get_by_role("link", name="Now")).to_have_count(0)
