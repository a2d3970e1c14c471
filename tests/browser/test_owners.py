"""Two owners who look at the console of one gateway: each sees what is his own, and nothing of the other's."""

import io
import zipfile
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.pictures import renewed

BATCH = 3


def seeded(client: httpx.Client, number: int) -> tuple[str, str]:
    """Submit an image and a batch for a client's owner; return their ids once the image has ended."""
    image = renewed(picture(number))
    query = {"model": "classification"}
    headers = {"Content-Type": "image/png", "Prefer": "wait=20"}
    found = client.post("/v1/predictions", params=query, content=image, headers=headers).json()
    assert found["status"] == "succeeded", found
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(BATCH):
            archive.writestr(f"{index}.png", renewed(picture(number)))
    batch = client.post("/v1/batches", data=query, files={"archive": ("a.zip", packed.getvalue())}).json()
    return found["id"], batch["id"]


def signed_in(open_console: Callable[[str], Console], url: str, key: str, where: str) -> Page:
    console = open_console(url)
    console.expect("status of 401", "status of 404")
    page = console.open(where)
    console.sign_in(key)
    return page


def test_two_owners_see_only_their_own(open_console: Callable[[str], Console], closed: ClosedGateway) -> None:
    keys = {name: closed.key(name, "--role", "admin") for name in ("gus", "hal")}
    own = {}
    for number, (name, key) in enumerate(keys.items()):
        with closed.client(key) as client:
            own[name] = seeded(client, 1000 * (number + 1))
    for name, other in (("gus", "hal"), ("hal", "gus")):
        page = signed_in(open_console, closed.url, keys[name], "#/predictions")
        rows = page.get_by_role("list", name="Predictions, newest first").get_by_role("listitem")
        expect(rows).to_have_count(1 + BATCH)
        expect(page.get_by_text(own[name][0][-6:])).to_be_visible()
        expect(page.get_by_text(own[other][0][-6:])).to_have_count(0)
        page.goto(f"{closed.url}/#/batches")
        batches = page.get_by_role("main").locator('a[href^="#/batches/"]')
        expect(batches).to_have_count(1)
        expect(batches).to_have_attribute("href", f"#/batches/{own[name][1]}")
        for address in (f"predictions/{own[other][0]}", f"batches/{own[other][1]}"):
            page.goto(f"{closed.url}/#/{address}")
            expect(page.get_by_role("alert").first).to_contain_text(address.split("/")[1])
        page.goto(f"{closed.url}/#/keys")
        expect(page.get_by_text(keys[name][:9])).to_be_visible()
        expect(page.get_by_text(keys[other][:9])).to_have_count(0)
