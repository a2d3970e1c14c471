"""A gateway that is killed under every page of the console, and comes back: each says so, and goes on by itself."""

import io
import random
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.api_client import Door
from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.pictures import renewed
from tests.support.receivers import receiving
from tests.support.stack import Stack
from tests.support.waiting import until

LOST = "The connection to the API is lost"
OUTAGE_MS = 6000
SOON_MS = 20_000
"""A page asks every 15 s at most, and a lost gateway every 8 s."""
MOST_AT_ONCE, MOST_A_SECOND = 10, 1
"""Requests of one page: what is on its way and what it asks for when the gateway is back; and, while that is away, a
question after 0.5, 1, 2, 4 and each 8 s, and a stream's attempt each 3 s."""
COMPLAINTS = (
    "status of 401",
    "status of 503",
    "ERR_CONNECTION_(REFUSED|RESET)",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE_CHUNKED",
)


@dataclass
class World:
    """What the pages show, and a second gateway on the same stores through which it changes while theirs is away."""

    http: httpx.Client
    model: str = "classification"
    prediction: str = ""
    batch: str = ""
    delivery: str = ""
    newest: str = ""
    new_batch: str = ""
    made: str = ""
    webhook: str = ""

    def predicted(self, **query: str) -> str:
        """Return the id of one more prediction, which has ended."""
        headers = {"Content-Type": "image/png", "Prefer": "wait=30"}
        found = self.http.post(
            "/v1/predictions", params={"model": self.model, **query}, content=renewed(picture(1)), headers=headers
        ).json()
        assert found["status"] == "succeeded", found
        id: str = found["id"]
        return id

    def uploaded(self, count: int) -> str:
        """Return the id of one more batch."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for index in range(count):
                archive.writestr(f"{index}.png", renewed(picture(index)))
        files = {"archive": ("a.zip", packed.getvalue())}
        answer = self.http.post("/v1/batches", data={"model": self.model}, files=files).json()
        id: str = answer["id"]
        return id

    @property
    def told(self) -> dict[str, str]:
        """Return what has a prediction's end told of by a webhook."""
        return {"webhook": self.webhook, "webhook_events_filter": "completed"}

    def begin(self) -> None:
        """Make what the pages show when they are opened."""
        self.prediction = self.predicted(**self.told, metadata='{"ward": 9}')
        until(lambda: self.deliveries() and self.deliveries()[0]["status"] == "delivered", what="it is delivered")
        self.delivery = self.deliveries()[0]["id"]

    def deliveries(self) -> list[dict[str, str]]:
        """Return the deliveries of the prediction."""
        found: list[dict[str, str]] = self.http.get(
            "/v1/webhook-deliveries", params={"subject": self.prediction}
        ).json()["results"]
        return found

    def change(self) -> None:
        """Change what every page shows."""
        self.newest = self.predicted(**self.told, metadata='{"ward": 9}')
        self.new_batch = self.uploaded(2)
        self.http.post(f"/v1/predictions/{self.prediction}/feedback", json={"label": "bird"}).raise_for_status()
        self.made = self.http.post("/v1/api-keys", json={"role": "read"}).json()["shown"]


# Of each page: its address, what is typed or chosen before the outage, what must be there after it.
Act = Callable[[Page, World], None]


def filter_list(page: Page, _: World) -> None:
    page.get_by_role("button", name="More filters").click()
    page.get_by_label("Metadata").fill("ward=9")
    expect(page.locator(".virtual-row")).to_have_count(1)


def list_is_fresh(page: Page, world: World) -> None:
    expect(page.locator(f'a[href*="{world.newest}"]')).to_be_visible()
    expect(page.get_by_label("Metadata")).to_have_value("ward=9")
    rows = page.locator(".virtual-row a").evaluate_all("all => all.map((one) => one.href)")
    assert len(rows) == len(set(rows)) == 2, rows


def correct(page: Page, _: World) -> None:
    page.get_by_role("button", name="It is wrong").click()
    page.get_by_label("What it is").fill("owl")


def prediction_is_fresh(page: Page, _: World) -> None:
    expect(page.get_by_text("Counts now: bird")).to_be_visible()
    expect(page.get_by_label("What it is")).to_have_value("owl")


def batches_are_fresh(page: Page, world: World) -> None:
    expect(page.locator(f'a[href$="{world.new_batch}"]')).to_have_count(1)
    expect(page.locator(f'a[href$="{world.batch}"]')).to_have_count(1)


def batch_waits(page: Page, _: World) -> None:
    expect(page.get_by_role("region", name="Progress")).to_contain_text("0 of 3 pictures")


def batch_is_fresh(page: Page, _: World) -> None:
    expect(page.locator("h1 .badge")).to_have_text("canceled")


def models_are_fresh(page: Page, world: World) -> None:
    card = page.locator(".model-card").filter(has=page.get_by_role("link", name=world.model, exact=True))
    expect(card).to_have_count(1)
    known = world.http.get(f"/v1/models/{world.model}").json()["run_count"]
    expect(card).to_contain_text(f"{known:,}")


def choose_span(page: Page, _: World) -> None:
    page.get_by_label("Since").select_option("7d")


def model_is_fresh(page: Page, world: World) -> None:
    known = world.http.get(f"/v1/models/{world.model}").json()["run_count"]
    expect(page.get_by_role("link", name=f"{known:,} on record")).to_be_visible()
    expect(page.get_by_label("Since")).to_have_value("7d")


def now_is_fresh(page: Page, _: World) -> None:
    expect(page.locator(".now-fresh")).to_contain_text("just now")
    expect(page.locator(".now-role")).to_have_count(5)


def filter_deliveries(page: Page, world: World) -> None:
    page.get_by_role("button", name="Delivered").click()
    expect(page.locator(f'.webhooks-row[href*="{world.delivery}"]')).to_be_visible()


def deliveries_are_fresh(page: Page, _: World) -> None:
    expect(page.get_by_role("button", name="Delivered")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".webhooks-row")).to_have_count(2)


def begin_a_key(page: Page, _: World) -> None:
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Images a second").fill("2.5")


def keys_are_fresh(page: Page, world: World) -> None:
    expect(page.locator(".key", has_text=world.made)).to_have_count(1)
    expect(page.get_by_label("Images a second")).to_have_value("2.5")


def try_one(page: Page, _: World) -> None:
    file = {"name": "before.png", "mimeType": "image/png", "buffer": renewed(picture(1))}
    page.get_by_label("Choose pictures").set_input_files(file)
    expect(page.get_by_role("article", name="before.png")).to_be_visible()


def both_are_answered(page: Page, world: World) -> None:
    expect(page.get_by_text("2 of 2 done").first).to_be_visible()
    expect(page.get_by_label("Model")).to_have_value(world.model)


def nothing(_: Page, __: World) -> None:
    """Nothing is typed."""


PAGES: dict[str, tuple[str, Act, Act]] = {
    "Try": ("#/try?model=classification", try_one, both_are_answered),
    "Predictions": ("#/predictions", filter_list, list_is_fresh),
    "one prediction": ("#/predictions/{prediction}", correct, prediction_is_fresh),
    "Batches": ("#/batches", nothing, batches_are_fresh),
    "one batch": ("#/batches/{batch}", batch_waits, batch_is_fresh),
    "Models": ("#/models", nothing, models_are_fresh),
    "one model": ("#/models/classification", choose_span, model_is_fresh),
    "Now": ("#/now", nothing, now_is_fresh),
    "Webhooks": ("#/webhooks", filter_deliveries, deliveries_are_fresh),
    "Keys": ("#/keys", begin_a_key, keys_are_fresh),
}


@pytest.fixture(scope="module")
def own_gateway(stack: Stack) -> Iterator[ClosedGateway]:
    """A gateway to kill, which asks for keys."""
    with ClosedGateway.running(stack) as gateway:
        yield gateway


def open_page(open_console: Callable[[str], Console], url: str, key: str, name: str, world: World) -> Page:
    """Open a page of the gateway that will be killed, and type into it."""
    address, prepare, _ = PAGES[name]
    console = open_console(url)
    console.expect(*COMPLAINTS)
    page = console.open(address.format(prediction=world.prediction, batch=world.batch))
    console.sign_in(key)
    expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_visible()
    prepare(page, world)
    page.evaluate("window.opened = true")
    return page


def test_every_page_says_that_the_gateway_is_away_and_goes_on_by_itself(
    open_console: Callable[[str], Console], own_gateway: ClosedGateway, closed: ClosedGateway, door: Door
) -> None:
    """One outage under all pages at once: fresh data, what was typed is there, no row twice, and few requests."""
    key, pages, asked = closed.key(f"olga-{random.randrange(1 << 24)}", "--role", "admin"), {}, Counter[str]()
    with closed.client(key) as http, receiving() as receiver:
        world = World(http, webhook=receiver.url)
        world.begin()
        for name in PAGES:
            if name != "one batch":
                pages[name] = open_page(open_console, own_gateway.url, key, name, world)
        with door.workers_stopped():
            world.batch = world.uploaded(3)
            pages["one batch"] = open_page(open_console, own_gateway.url, key, "one batch", world)
            for name, page in pages.items():
                page.on("request", lambda _, name=name: asked.update([name]))
            killed = time.monotonic()
            own_gateway.close()
            for page in pages.values():
                expect(page.get_by_text(LOST)).to_be_visible(timeout=SOON_MS)
            world.http.post(f"/v1/batches/{world.batch}/cancel").raise_for_status()
        world.change()
        later = {"name": "later.png", "mimeType": "image/png", "buffer": renewed(picture(2))}
        pages["Try"].get_by_label("Choose pictures").set_input_files(later)
        pages["Try"].wait_for_timeout(OUTAGE_MS)
        own_gateway.begin()
        for name, page in pages.items():
            expect(page.get_by_text(LOST), f"{name} goes on").to_be_hidden(timeout=SOON_MS)
        most = MOST_AT_ONCE + MOST_A_SECOND * (time.monotonic() - killed)
        assert max(asked.values()) <= most, asked
        for name, (_, _, is_fresh) in PAGES.items():
            is_fresh(pages[name], world)
            assert pages[name].evaluate("window.opened"), f"{name} was loaded anew"


def test_a_page_that_was_not_loaded_yet_is_loaded_when_the_gateway_is_back(
    open_console: Callable[[str], Console], own_gateway: ClosedGateway
) -> None:
    console = open_console(own_gateway.url)
    console.expect(*COMPLAINTS, "Failed to fetch dynamically imported module", "Failed to load resource")
    page = console.open("#/batches")
    console.sign_in(own_gateway.key(f"pia-{random.randrange(1 << 24)}", "--role", "admin"))
    expect(page.get_by_role("heading", name="No batches yet")).to_be_visible()
    own_gateway.close()
    page.evaluate("location.hash = '#/models'")
    expect(page.get_by_text(LOST)).to_be_visible(timeout=SOON_MS)
    own_gateway.begin()
    expect(page.get_by_role("link", name="classification", exact=True)).to_be_visible()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_answers_for_a_gateway_that_is_away_is_a_lost_connection(console: Console, status: int) -> None:
    console.expect(f"status of {status}")
    page = console.open("#/models")
    away = f"<h1>{status}</h1>"
    page.route("**/v1/**", lambda route: route.fulfill(status=status, content_type="text/html", body=away))
    page.route("**/health/**", lambda route: route.fulfill(status=status, content_type="text/html", body=away))
    expect(page.get_by_text(LOST)).to_be_visible(timeout=SOON_MS)
    page.unroute_all()
    expect(page.get_by_text(LOST)).to_be_hidden(timeout=SOON_MS)
    expect(page.get_by_role("link", name="classification", exact=True)).to_be_visible()
