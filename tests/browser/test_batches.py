"""The page Batches: live progress, failures by reason, download, retry, cancel."""

import pytest
from playwright.sync_api import expect

from tests.support.api_client import Door, Json
from tests.support.broken_pictures import grey_png, undecodable_png
from tests.support.console import Console


def upload(door: Door, *, good: int, bad: int, metadata: str = "{}", first: int = 0) -> Json:
    files = [("images", (f"scan-{n}.png", grey_png(first + n, size=32 + first // 100))) for n in range(good)]
    files += [("images", (f"broken-{n}.png", undecodable_png(n))) for n in range(bad)]
    answer = door.post("/v1/batches", files=files, data={"model": "lit-classification", "metadata": metadata})
    assert answer.status_code == 202, answer.text
    found: Json = answer.json()
    return found


@pytest.fixture(scope="module")
def batch(door: Door) -> Json:
    """A batch with failures."""
    return upload(door, good=40, bad=3, metadata='{"name": "Ward 7, Monday"}')


@pytest.mark.usefixtures("batch")
def test_a_batch_is_followed_to_its_end(console: Console) -> None:
    page = console.open("#/batches")
    card = page.get_by_role("link", name="Ward 7, Monday")
    expect(card).to_contain_text("completed")
    console.look("batches")
    card.click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("100%")
    expect(page.get_by_role("link", name="undecodable_image 3")).to_be_visible()
    console.look("batch")
    page.get_by_role("link", name="undecodable_image 3").click()
    expect(page.get_by_role("list", name="Predictions, newest first").get_by_role("listitem")).to_have_count(3)


@pytest.mark.parametrize(("button", "first"), [("CSV", "custom_id,id,status"), ("NDJSON", '{"custom_id":')])
def test_results_are_downloaded(console: Console, batch: Json, button: str, first: str) -> None:
    page = console.open(f"#/batches/{batch['id']}")
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    text = waiting.value.path().read_text()
    assert text.startswith(first)
    assert len(text.splitlines()) in (43, 44)


def test_failures_are_retried_as_a_new_batch(console: Console, batch: Json) -> None:
    page = console.open(f"#/batches/{batch['id']}")
    page.get_by_role("button", name="Retry failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("link", name="the failures of another batch")).to_be_visible()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("3 of 3 pictures")


def test_a_batch_that_waits_is_canceled(console: Console, door: Door) -> None:
    with door.workers_stopped():
        waiting = upload(door, good=20, bad=0, metadata='{"name": "Too much"}', first=500)
        page = console.open(f"#/batches/{waiting['id']}")
        expect(page.get_by_role("heading", name="Too much")).to_be_visible()
        expect(page.get_by_role("region", name="Progress")).to_contain_text("0 of 20 pictures")
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
        expect(page.locator("h1 .badge")).to_have_text("canceled")


def test_a_prediction_that_waits_is_canceled(console: Console, door: Door) -> None:
    with door.workers_stopped():
        id = door.accepted(grey_png(600, size=40), model="lit-classification")
        page = console.open(f"#/predictions/{id}")
        expect(page.get_by_text("It waits for a worker.")).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
        expect(page.get_by_text("Somebody canceled it.")).to_be_visible()
